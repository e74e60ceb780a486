//! Mails: what is read of them on a shard, and the whole of what a worker does with one.

use sekisho_core::{authn, message, rewrite, scan};

use super::seeds::{self, texts};
use super::smoke;

#[test]
fn a_whole_mail_may_be_anything() {
    smoke("mail", &seeds::mails(), scan::fuzz_mail);
}

#[test]
fn the_view_of_a_message_survives_any_octets() {
    smoke("view", &seeds::mails(), message::fuzz_view);
}

#[test]
fn a_header_section_may_be_anything() {
    let mut all = texts(&[
        "From: =?utf-8?B?44GC?= =?ISO-2022-JP?B?GyRCJCIbKEI=?= (c (d)) <a@b.example>, \"x\\\"y\" <@r:c@d.example>; g: e@f.example;\r\n",
        "Content-Type: text/plain; name*0*=utf-8'ja'%E3%81%82; name*1=b; charset=\"x\"; =;;\r\nTo: undisclosed-recipients:;\r\n",
        "Subject: =?us-ascii?Q?a=20b?= =?x?X?y?= =?utf-8?q??=\r\n folded\r\nReceived: from a by b; Fri, 1 Jan 2021\r\nFrom : c@d\r\n",
        "From: a@b.example,\r\n\tc@d.example\r\nSender: <>\r\nReply-To: =?utf-8?Q?a=40b=2Ec_?= <x@y.example>\r\n",
    ]);
    all.extend(seeds::own_mails());
    smoke("fields", &all, message::fuzz_fields);
}

#[test]
fn text_may_be_in_any_charset() {
    let all = [
        b"\x00\x82\xa0abc\xe3\x81\x82".as_slice(),
        b"\x03+AGEAYg-+//8- a+b",
        b"\x06\x1b$B$\"$$\x1b(Babc\x1b(I1\x1b$@a\x1b(J",
        b"\x09\x82\xa0\xb1\x81\x40\xfc\x4b",
        b"\x0b\xa4\xa2\x8e\xb1\x8f\xb0\xa1",
        b"\x0d~{<:Ky~}abc~~",
        b"\x10\x1b$)C\x0e!!\x0fabc",
        b"\x04\xff\xfea\0\xd8\x3d",
        b"\x02\xf0\x9f\x98\x80\xef\xbc\xa1\xe2\x80\x8b\xd0\xb0",
    ];
    smoke("charsets", &all.map(<[u8]>::to_vec), message::fuzz_charset);
}

#[test]
fn blocks_inside_of_text_may_be_anything() {
    let all = texts(&[
        "text\nbegin 644 a.exe\n#0V%T\nM0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T\n`\nend\n",
        "<a href=\"data:application/zip;base64,UEsDBBQAAAAAAAAA\">x</a> data:text/html;base64,PGI+",
        "TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "=ybegin line=128 size=5 name=a.exe\n\x72\x77\n=yend size=5\n",
    ]);
    smoke("blocks", &all, message::fuzz_blocks);
}

#[test]
fn html_may_be_anything() {
    let all = texts(&[
        "<html><body><p style='display:none'>a</p><a href=\"http://x.example/&#x41;\">b</a></body>",
        "<!-- <table> --><script>x</script>&nbsp;&#0;&#99999999;",
        "<style>.h{font-size:0}</style><font color=#ffffff>x</font><img alt=a src=data:x><base href=//y><svg><a xlink:href=z>",
        "<table><tr><td width=0><area href=x></table><title>t</title><textarea></a><input value='v'><meta http-equiv=refresh content='0;url=z'>",
    ]);
    smoke("html", &all, message::fuzz_html);
}

#[test]
fn addresses_may_be_anything() {
    smoke("links", &seeds::links(), scan::fuzz_links);
}

#[test]
fn a_mail_may_be_rewritten_whatever_it_is() {
    smoke("rewrite", &seeds::mails(), rewrite::fuzz_rewrite);
}

#[test]
fn texts_that_rules_look_into_may_be_anything() {
    let mut all = texts(&[
        "4111 1111 1111 1111 123456789018 7-0000-1205-0002 309212345690 GB82 WEST 1234 5698 7654 32",
        "旅券番号 ＴＫ１２３４５６７ 口座 1234567 03-1234-5678 +81-90-1234-5678 536-90-4399 a@b.example",
        "<?xml version=\"1.0\"?><w:p><w:t>a &amp; b &#x3042;</w:t></w:p><c><v>1</v></c>",
        "a aa aaa secret 漢\r\n字",
    ]);
    all.extend(seeds::own_mails());
    smoke("content", &all, scan::content::fuzz_content);
}

#[test]
fn signed_mail_may_be_anything() {
    let all = texts(&[
        "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=s; b=AA\r\nARC-Message-Signature: i=1; a=rsa-sha256; \
         d=a.test; s=s; h=from; bh=AA; b=AA\r\nARC-Authentication-Results: i=1; a.test; dmarc=pass header.from=b.test\r\n\
         From: a@b.test\r\n\r\nText.\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=a.test; s=s; t=1; x=2; l=5; h=from:to; \
         bh=AAAA; b=AAAA\r\nFrom: a@a.test\r\n\r\nText.\r\n",
    ]);
    smoke("signed", &all, authn::fuzz_signed);
}
