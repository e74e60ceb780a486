//! What others say to us: clients, next hops, scanners, the DNS, workers, who asks through the control socket.

use sekisho_core::{analysis, authn, control, deliver, engines, resolve, session};

use super::seeds::texts;
use super::smoke;

const DIALOGUE: &str = "EHLO a.example.com\r\nMAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME\r\n\
    RCPT TO:<u@demo.test> NOTIFY=FAILURE ORCPT=rfc822;u@demo.test\r\nDATA\r\nA: b\r\n\r\n..c\r\n.\r\n\
    MAIL FROM:<>\r\nRCPT TO:<\"a b\"@demo.test>\r\nBDAT 5\r\nA: b\nBDAT 3 LAST\r\n\r\nxRSET\r\n\
    VRFY u\r\nXCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]\r\nSTARTTLS\r\nQUIT\r\n";

#[test]
fn a_session_survives_anything_that_a_client_may_send() {
    smoke("session", &texts(&[DIALOGUE]), session::fuzz_session);
}

#[test]
fn the_grammar_of_commands_survives_anything() {
    let all = texts(&[
        "MAIL FROM:<@a,@b:c@example.com> SMTPUTF8",
        "RCPT TO:<\"q\\\"uoted\"@[IPv6:2001:db8::1]>",
    ]);
    smoke("grammar", &all, session::grammar::fuzz_grammar);
}

#[test]
fn a_proxy_header_may_be_anything() {
    let seed =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x08\x12\x67\x00\x19";
    smoke("proxy", &[seed.to_vec()], session::proxy::fuzz_proxy);
}

#[test]
fn the_answers_of_a_next_hop_may_be_anything() {
    let all = texts(&[
        "220 hop\r\n250-hop\r\n250-PIPELINING\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
        "\u{4}220 hop\r\n250-hop\r\n250 STARTTLS\r\n220 go\r\n250-hop\r\n250 SIZE 1\r\n550-5.7.1 no\r\n550 5.7.1 no\r\n421 4.3.2 x\r\n",
    ]);
    smoke("hop", &all, deliver::client::fuzz_hop_reply);
}

#[test]
fn a_scanner_may_reply_anything() {
    let all = texts(&[
        "stream: Eicar-Test-Signature(44d88612fea8a8f36de82e1278abb02f:68) FOUND",
        "INSTREAM size limit exceeded. ERROR",
        "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=A;\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n",
        "ICAP/1.0 200 OK\r\nX-Violations-Found: 1\r\n\tfile\r\n\tA.B\r\n\t1\r\n\t0\r\n\r\n",
    ]);
    smoke("scanners", &all, engines::fuzz_replies);
}

#[test]
fn a_record_of_spf_may_be_anything() {
    let all = texts(&[
        "v=spf1 a:foo.%{d2r-}/24//64 mx ip4:192.0.2.0/24 exists:%{ir}.%{v}.%{l}.x.test -all",
        "v=spf1 include:_spf.%{o} ?ptr ip6:2001:db8::/32 redirect=%{h} exp=why.%{d}",
    ]);
    smoke("spf", &all, authn::fuzz_spf);
}

#[test]
fn a_key_or_a_policy_in_the_dns_may_be_anything() {
    let all = texts(&[
        "v=DMARC1; p=quarantine; sp=none; np=reject; t=y; psd=n; adkim=s; aspf=r; pct=10; rua=mailto:a@b.example!10m; fo=1:d:s",
        "v=DKIM1; k=ed25519; h=sha256; s=email; t=y:s; n=a; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "v=DKIM1; k=rsa; p=MEgCQQC+7nyTKEQCLFPjfQHZ6pd1sMqQOcI6DIHuKzXxOaVJpO8iWmNqZkRXkQk4Jv1G5V6x3WfW0mVJ7Vd9mXlN2d3FAgMBAAE=",
        "v=DKIM1; p=",
    ]);
    smoke("records", &all, authn::fuzz_record);
}

#[test]
fn an_answer_of_the_dns_may_be_anything() {
    let all = [
        // MX of the root: an answer with a compressed name; a "no" with its SOA; cut off.
        b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\0\0\x0f\0\x01\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x07\0\x05\x01a\x01b\0".as_slice(),
        b"\x12\x34\x81\x83\0\x01\0\0\0\x01\0\0\0\0\x0f\0\x01\0\0\x06\0\x01\0\0\0\x3c\0\x18\x01a\0\x01b\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
        b"\x12\x34\x83\x80\0\x01\0\0\0\0\0\0\0\0\x0f\0\x01",
        b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\x01\0\0\x0f\0\x01\0\0\x05\0\x01\0\0\0\x01\0\x03\x01c\0\x01c\0\0\x10\0\x01\0\0\0\x01\0\x03\x02ab\0\0\x29\x04\xd0\0\0\0\0\0\0",
    ];
    smoke("dns", &all.map(<[u8]>::to_vec), resolve::fuzz_answer);
}

#[test]
fn a_question_to_the_zone_may_be_anything() {
    let all = [
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01".as_slice(),
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x01x\x01w\x07example\0\0\xff\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0",
    ];
    smoke("question", &all.map(<[u8]>::to_vec), resolve::zone::fuzz_question);
}

#[test]
fn what_a_worker_answers_may_be_anything() {
    let all = texts(&[
        "\"Ready\"",
        "{\"Failed\":\"why\"}",
        "{\"Examined\":[{\"findings\":[{\"kind\":\"malware\",\"rule\":\"A\",\"points\":1,\"detail\":\"\",\"log_only\":false}],\
         \"facts\":{\"parts\":1,\"attachments\":[{\"name\":\"a\",\"span\":[1,2]}]},\"cuts\":[{\"start\":1,\"end\":18446744073709551615}],\
         \"features\":\"AAAAAAAAAAAEAAAA\"},{}]}",
        "{\"ranges\":[{\"descriptor\":0,\"offset\":1,\"bytes\":2}],\"envelope_from\":[97],\"cleaning\":{\"malware\":true,\"active\":false},\"content\":[]}",
    ]);
    smoke("wire", &all, analysis::fuzz_wire);
}

#[test]
fn a_request_to_the_control_socket_may_be_anything() {
    let all = texts(&[
        "{\"verb\":\"status\"}",
        "{\"verb\":\"adopt\",\"generation\":1}",
        "{\"verb\":\"queue-list\",\"domain\":null,\"rows_max\":10}",
        "{\"id\":\"1\",\"request\":{\"verb\":\"ping\"}}",
        "{\"id\":\"1\",\"response\":\"done\"}",
    ]);
    smoke("control", &all, |octets: &[u8]| {
        let request = serde_json::from_slice::<control::Request>(octets).is_ok();
        usize::from(request | serde_json::from_slice::<control::Answer>(octets).is_ok())
    });
}
