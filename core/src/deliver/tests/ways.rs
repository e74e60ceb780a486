//! Where reports go: RFC 5321 section 5.1, RFC 7505, smart hosts.

use std::rc::Rc;

use super::world::{Act, Hop, Moment};
use super::{Bench, bench_with, copy, message};
use crate::deliver::{Disposition as D, Others, Settings, TlsRule};
use crate::resolve::{MailHost, MailHosts, ResolveError};

const FROM: &str = "s@client.example";

fn hosts(named: &[(u16, &str)]) -> Result<MailHosts, ResolveError> {
    let host = |(preference, host): &(u16, &str)| MailHost {
        preference: *preference,
        host: (*host).into(),
    };
    Ok(MailHosts::Hosts(named.iter().map(host).collect()))
}

/// A mail of which one recipient is refused, so that a report to `client.example` comes to be.
fn reported(bench: &Bench) {
    bench.hops["a.example"].behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT TO:<v@") => Act::Say("550 5.1.1 no"),
        _ => Act::Normal,
    });
    let message = message(1, FROM, &["u@a.example", "v@a.example"]);
    let copies = [copy(&message, &[0, 1], true)];
    let settled = bench.sim.run(bench.deliverer.settle(&message, &copies, Others::None));
    assert_eq!(settled.outcomes[1].disposition, D::Reported);
    assert_eq!(bench.store.reports().len(), 1);
}

fn setting(change: impl FnOnce(&mut Settings)) -> Bench {
    let mut settings = Settings { host_name: "mx.gateway.example".into(), ..Settings::default() };
    change(&mut settings);
    bench_with(settings)
}

fn took(hop: &Rc<Hop>) -> usize {
    hop.count_for(FROM)
}

#[test]
fn a_report_goes_to_the_mail_hosts_in_order_of_preference() {
    let bench = setting(|_| ());
    let [best, second, own] = ["mx1.example", "mx2.example", "client.example"]
        .map(|host| bench.hops.get(host).cloned().unwrap_or_else(|| bench.sim.hop(host)));
    bench.sim.mail_hosts_of("client.example", hosts(&[(20, "mx2.example"), (10, "mx1.example")]));
    best.behave(|_| Act::Refuse);
    reported(&bench);
    bench.run_queue(5);
    assert_eq!((took(&best), took(&second), took(&own)), (0, 1, 0));
    assert_eq!(best.connections.get(), 1, "the better one was asked first");
}

#[test]
fn a_domain_without_mx_stands_for_itself() {
    let bench = setting(|_| ());
    reported(&bench);
    bench.run_queue(5);
    assert_eq!(took(&bench.hops["client.example"]), 1);
}

#[test]
fn what_the_dns_says_for_good_ends_a_report_in_a_durable_row_and_never_in_another_report() {
    let cases = [
        (Ok(MailHosts::TakesNoMail), "556 5.1.10"),
        (Ok(MailHosts::NoSuchDomain), "550 5.1.2"),
        // RFC 5321 section 5.1: we are the best host of a domain that we know nothing of.
        (hosts(&[(10, "MX.gateway.example"), (20, "client.example")]), "550 5.4.6"),
    ];
    for (answer, reply) in cases {
        let bench = setting(|_| ());
        bench.sim.mail_hosts_of("client.example", answer);
        reported(&bench);
        bench.run_queue(5);
        assert_eq!(bench.deliverer.waiting(), 0, "{reply}");
        assert_eq!(bench.hops["client.example"].connections.get(), 0, "{reply}");
        let rows = bench.store.0.durable_rows.borrow();
        assert_eq!(rows.len(), 1, "{reply}");
        assert!(rows[0].reply.starts_with(reply), "{}", rows[0].reply);
        assert_eq!(bench.store.reports().len(), 1, "{reply}: no report about a report");
    }
}

#[test]
fn hosts_that_are_better_than_we_are_get_the_report() {
    let bench = setting(|_| ());
    let answer =
        hosts(&[(10, "client.example"), (20, "mx.gateway.example"), (30, "hop.b.example")]);
    bench.sim.mail_hosts_of("client.example", answer);
    bench.hops["client.example"].behave(|_| Act::Refuse);
    reported(&bench);
    bench.run_queue(5);
    assert_eq!(bench.hops["b.example"].connections.get(), 0, "behind us it would come back");
    assert_eq!(bench.deliverer.waiting(), 1, "it waits for the better one");
}

#[test]
fn a_dns_that_fails_delays_a_report_and_the_answer_of_later_counts() {
    for error in [ResolveError::TimedOut, ResolveError::Failed, ResolveError::Busy] {
        let bench = setting(|_| ());
        bench.sim.mail_hosts_of("client.example", Err(error));
        reported(&bench);
        bench.run_queue(100);
        assert_eq!(bench.deliverer.waiting(), 1, "{error}");
        let why = bench.deliverer.queue_why(None);
        assert!(why[0].why.contains(&error.to_string()), "{}", why[0].why);
        bench.sim.mail_hosts_of("client.example", hosts(&[(1, "client.example")]));
        bench.run_queue(1_000);
        assert_eq!(took(&bench.hops["client.example"]), 1, "{error}");
    }
}

#[test]
fn a_smart_host_takes_all_reports_and_no_dns_is_asked() {
    let bench = setting(|settings| {
        let hop = |host: &str, preference| crate::deliver::Hop {
            host: host.into(),
            port: 587,
            preference,
            tls: TlsRule::Never,
        };
        settings.report_route = vec![hop("smart2.example", 20), hop("smart1.example", 10)];
    });
    let [first, second] = ["smart1.example", "smart2.example"].map(|host| bench.sim.hop(host));
    first.behave(|_| Act::Refuse);
    reported(&bench);
    bench.run_queue(5);
    assert_eq!((took(&second), first.connections.get()), (1, 1));
    assert_eq!(bench.sim.looked_up(), 0);
}

#[test]
fn a_report_to_a_domain_of_ours_goes_by_its_routes() {
    let bench = setting(|_| ());
    bench.hops["a.example"].behave(|moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT TO:<v@") => Act::Say("550 5.1.1 no"),
        _ => Act::Normal,
    });
    let message = message(1, "s@b.example", &["u@a.example", "v@a.example"]);
    let copies = [copy(&message, &[0, 1], true)];
    bench.sim.run(bench.deliverer.settle(&message, &copies, Others::None));
    bench.run_queue(5);
    assert_eq!(bench.hops["b.example"].count_for("s@b.example"), 1);
    assert_eq!(bench.sim.looked_up(), 0);
}

/// A stranger names the address of something inside as his mail host: a report would knock there.
#[test]
fn a_strangers_mail_host_at_a_refused_address_is_not_connected_to() {
    let bench = setting(|settings| {
        settings.report_refused_networks = vec!["192.0.2.0/24".parse().unwrap()];
    });
    reported(&bench);
    bench.run_queue(100);
    assert_eq!(bench.hops["client.example"].connections.get(), 0);
    assert_eq!(bench.deliverer.waiting(), 1, "temporary, as every failure of the DNS");
    // What the operator named himself is his to decide.
    assert_eq!(bench.hops["a.example"].connections.get(), 1);
}

/// A stranger's zone names our customer's hop as mail host, under a name that the DNS does not know: the
/// failure must not put the customer's hop on the list of those that do not answer.
#[test]
fn a_strangers_mail_host_that_fails_does_not_stop_mail_to_a_hop_of_that_name() {
    let bench = setting(|settings| {
        settings.report_refused_networks = vec!["192.0.2.0/24".parse().unwrap()];
    });
    bench.sim.mail_hosts_of("client.example", hosts(&[(10, "hop.a.example")]));
    reported(&bench);
    bench.run_queue(3);
    let before = bench.hops["a.example"].taken.borrow().len();
    let message = message(2, FROM, &["w@a.example"]);
    let copies = [copy(&message, &[0], true)];
    let settled = bench.sim.run(bench.deliverer.settle(&message, &copies, Others::None));
    assert_eq!(settled.outcomes[0].disposition, D::Delivered);
    assert_eq!(bench.hops["a.example"].taken.borrow().len(), before + 1);
}

/// `queue flush` is the operator's "now", for reports too.
#[test]
fn a_flush_forgives_the_mail_hosts_of_a_stranger() {
    let bench = setting(|settings| {
        settings.back_off =
            (std::time::Duration::from_secs(500), std::time::Duration::from_secs(500));
    });
    let hop = &bench.hops["client.example"];
    hop.behave(|_| Act::Refuse);
    reported(&bench);
    bench.run_queue(5);
    hop.behave(|_| Act::Normal);
    bench.run_queue(5);
    assert_eq!(took(hop), 0, "left alone");
    bench.deliverer.queue_flush(None);
    bench.run_queue(5);
    assert_eq!(took(hop), 1);
}
