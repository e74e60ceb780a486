//! Files: ours, an operator's, and those that an update server sends.

use std::path::Path;

use sekisho_core::{
    classify, config, greylist, maillog, message, notice, policy, resolve, scan, spool, tables,
};
use sekisho_tests::corpus::{files, repository};

use super::seeds::texts;
use super::smoke;

#[test]
fn the_configuration_may_be_anything() {
    smoke("config", &texts(&[config::DEFAULT_TEXT]), config::fuzz_config);
}

#[test]
fn a_domains_file_may_be_anything() {
    let mut all = texts(&[
        include_str!("../../appliance/ctl/src/run/domains.toml"),
        "[[domain]]\nname = \"a.example\"\nprofile = \"tmems\"\naliases = [\"例え.jp\"]\nrecipients = [\"user\"]\n\
         primary_contact = \"admin@a.example\"\n[[domain.route]]\nhost = \"h.example\"\nport = 2525\ntls = \"verify\"\n\
         [[domain.alias]]\nalias = \"sales\"\nmailbox = \"user\"\n[domain.settings]\nspam.points = 6.5\nquarantine.days = 21\n\
         [[domain.settings.class_actions]]\norder = 1\nmain = \"spam\"\naction = \"accept_and_mark\"\n\
         [[domain.settings.rules]]\nname = \"programs\"\naction = \"quarantine\"\n[domain.settings.rules.when]\n\
         attachment_name = [\"*.exe\", \"*.scr\"]\nheader = [{ name = \"Subject\", matches = \"*invoice*\" }]\n",
    ]);
    let profiles = files(Path::new(&repository().join("core/data/profiles")));
    all.extend(profiles.iter().map(|path| {
        let settings = std::fs::read_to_string(path).unwrap();
        let settings: String = settings
            .lines()
            .filter(|line| !line.starts_with('['))
            .take(60)
            .fold(String::new(), |text, line| text + line + "\n");
        format!(
            "[[domain]]\nname = \"a.example\"\nprofile = \"tmems\"\n[domain.settings]\n{settings}"
        )
        .into_bytes()
    }));
    smoke("domains", &all, policy::source::fuzz_domains);
}

#[test]
fn rules_of_an_update_server_may_be_anything() {
    let all = texts(&[
        "body A /a{2,5}(?:b|c)+\\d/i\nscore A 1.5\ndescribe A x\nheader B Subject =~ /x/ [if-unset: y]\nmeta C (A && !B) > 1\n\
         uri D m{^https?://}i\nrawbody E /x/\ntflags A multiple maxhits=3\nifplugin X\nbody F /x/\nendif\nreplace_tag G [g9]\nreplace_rules A\n",
        "Win.Test-1:0:*:4d5a??90{2-5}aabb*(61|62)[1-2]63!(64)\nB:1:EP+5,10:aa\nC:0:EOF-20:6162\n",
        "Sig.X-1;Engine:51-255,Target:1;(0&1)|(2>1,2)=3;4d5a;616263::i;0/x{2,}/si;EP+0:aabb;fuzzy_img#a#1\n",
        "Cdb.A:CL_TYPE_ZIP:*:.*\\.exe$:*:*:*:*:*:*:*\n44d88612fea8a8f36de82e1278abb02f:68:Eicar\n512:44d88612fea8a8f36de82e1278abb02f:B\n",
        "[[rule]]\nname = \"JA\"\nfield = \"normalised\"\npattern = '(?i)アカウント.{0,5}停止'\nkind = \"phishing\"\npoints = 2.5\nlog_only = true\n",
    ]);
    smoke("sources", &all, scan::patterns::fuzz_sources);
}

#[test]
fn compiled_rules_may_be_anything() {
    use scan::patterns::{BuildReport, PatternSource, SourceFormat, build};
    let source = PatternSource {
        path: "a.cf".into(),
        octets: b"body A /abcd/\nheader B Subject =~ /x[yz]+/i\nscore A 1\n".to_vec(),
        format: SourceFormat::SpamAssassin,
    };
    let built = build(&[source], &mut BuildReport::default()).expect("two plain rules");
    smoke("patterns", &[built.0], scan::patterns::fuzz_open);
}

#[test]
fn lists_may_be_anything() {
    let all = texts(&[
        "192.0.2.0/24 comment\n!2001:db8::/32\n:127.0.0.2:text $\n$SOA 1 a b 0 0 0 0 0\n.a.example :3:x\n*.b.example\n192.0.2.1-9\n",
        "127.0.0.1\n$TTL 60\n$NS 1 a\n!192.0.2.1\n# x\n$DATASET ip4set\n",
    ]);
    smoke("rbldnsd", &all, tables::fuzz::fuzz_rbldnsd);
    let all = texts(&[
        "a@b.example,allow,\"a comment, quoted\"\n*@*.example,block\n=?x?=,\n@a.example\n192.0.2.0/24\n",
        "\u{feff}user@a.example;alias\r\n\"x y\"@a.example\n44d88612fea8a8f36de82e1278abb02f:68:Eicar\n1:44d88612fea8a8f36de82e1278abb02f:B:73\n",
    ]);
    smoke("csv", &all, tables::fuzz::fuzz_csv);
}

#[test]
fn a_table_may_be_anything() {
    let all = [vec![0_u8; 64], b"SKTABLE1\0\0\0\0\0\0\0\0".repeat(8), vec![0xFF; 32]];
    smoke("table", &all, tables::fuzz::fuzz_table);
}

#[test]
fn a_segment_may_be_anything() {
    let all = texts(&["{\"mail\":\"x\"}", "SKREC001"]);
    smoke("segment", &all, spool::fuzz_segment);
}

#[test]
fn records_in_a_segment_may_be_anything() {
    let mut all = texts(&[
        "{\"route_domain\":\"a.example\",\"recipients\":[{\"index\":0,\"state\":{\"is\":\"waiting\"}},{\"index\":65535}],\
         \"queued_at\":1600000000000,\"deferral\":{\"attempts\":4294967295,\"next_attempt_at\":1},\"bytes\":18446744073709551615}",
    ]);
    all.push(serde_json::to_vec(&policy::preset(policy::Profile::Tmems)).unwrap());
    smoke("metadata", &all, |octets: &[u8]| {
        let queued = serde_json::from_slice::<spool::QueuedMail>(octets).is_ok();
        let held = serde_json::from_slice::<spool::held::HeldMail>(octets).is_ok();
        let summary = serde_json::from_slice::<spool::QueuedSummary>(octets).is_ok();
        let policy = serde_json::from_slice::<policy::DomainSettings>(octets).is_ok();
        usize::from(queued || held || summary || policy)
    });
}

#[test]
fn rows_of_the_mail_log_may_be_anything() {
    let all = texts(&[
        "{\"row\":\"delivery\",\"at\":1600000000000,\"status\":\"sent\",\"from\":\"a@b.example\",\"points\":-5,\"dsn\":\"5.7.1\",\
         \"rules\":[],\"attachments\":[],\"source_address\":\"192.0.2.1\"}\n{\"row\":\"delivery\",\"at\":1,\"status\":\"\"}\n",
        "{\"row\":\"event\",\"at\":1,\"event\":\"x\",\"mail\":null}\n",
    ]);
    smoke("rows", &all, maillog::reader::fuzz_rows);
}

#[test]
fn the_greylist_may_be_anything() {
    let all = [b"SKSHGRL1".as_slice(), &7_u64.to_le_bytes(), &[3; 48]].concat();
    smoke("greylist", &[all], greylist::fuzz_file);
}

#[test]
fn a_zone_file_may_be_anything() {
    let all = texts(&[
        "$ORIGIN example.\n$TTL 60\n@ IN SOA a b ( 1 2 3 4 5 )\n@ IN MX 1 a\na IN A 192.0.2.1\n* IN TXT \"v=spf1 -all\" \"b\"\nb 5 IN CNAME a\n",
        "a.example. 60 IN AAAA 2001:db8::1\n_d IN SRV 1 2 3 a\n@ PTR a ; x\n$INCLUDE x\n",
    ]);
    smoke("zone", &all, resolve::zone::fuzz_zone);
}

#[test]
fn a_model_may_be_anything() {
    let samples: Vec<classify::Features> = [
        "Subject: cheap\r\nFrom: a@b.example\r\n\r\nbuy cheap pills now http://a.example/\r\n",
        "Subject: minutes\r\nFrom: c@d.example\r\n\r\nthe minutes of our meeting are attached\r\n",
    ]
    .iter()
    .map(|mail| {
        let view = message::View::build(mail.as_bytes(), &message::ViewLimits::shard());
        classify::Features::of(&view)
    })
    .collect();
    let labelled: Vec<classify::Sample<'_>> = samples
        .iter()
        .enumerate()
        .map(|(at, one)| classify::Sample { spam: at == 0, author: 7, features: &one.list })
        .collect();
    let options =
        classify::FitOptions { seen_min: 1, features_max: 100, marks: true, relations: true };
    let model = classify::fit(&labelled, options);
    smoke("model", &[model], classify::fuzz_model);
    let written: Vec<Vec<u8>> =
        samples.into_iter().map(|features| String::from(features).into_bytes()).collect();
    let mut all = texts(&["AAAAAAAAAAAEAAAACAAAAA==", "AQAAAAEAAAAEAAAA"]);
    all.extend(written);
    smoke("features", &all, classify::fuzz_features);
}

#[test]
fn what_a_notice_tells_may_be_anything() {
    let all = texts(&[
        "Subject: %VIRUS% %SUBJECT%\n\n%FILES% %SENDER% %AUTHOR% %LEFT_OUT%\n--\nuser\n--\na.example\n--\nrule\n--\nc@d.example\n--\n\
         Eicar\n--\na.exe\n--\nb\n--\ne@f.example\n--\nあ <g@h.example>\n--\nsubject %VIRUS%\n--\n<1@a>\n--\n",
        "x\n--\na b\"@\n--\n\r\nBcc: x@y.example\r\n\n--\n\u{202e}\n--\n%\n--\n",
    ]);
    smoke("notice", &all, notice::fuzz_notice);
}
