//! Tests of the message room.

use proptest::prelude::*;

use super::*;

fn view(raw: &[u8]) -> View<'_> {
    View::build(raw, &ViewLimits::shard())
}

fn units(raw: &str) -> Vec<String> {
    view(raw.as_bytes()).body().iter().map(str::to_owned).collect()
}

#[test]
fn header_values_are_unfolded_and_decoded() {
    let rows: &[(&[u8], &str)] = &[
        (b" plain", "plain"),
        (b" folded\r\n  twice\r\n\tthree", "folded  twice\tthree"),
        // RFC 2047 section 8, the examples.
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?iso2022_jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?Shift_JIS?B?k/qWew==?=", "日本"),
        // One character cut in two by the mailer.
        (b"=?utf-8?B?5pc=?= =?utf-8?B?pQ==?=", "日"),
        (b"=?utf-8?Q?unclosed", "=?utf-8?Q?unclosed"),
        (b"=?x-nobody-knows?Q?a=E9?=", "a\u{e9}"),
        ("生の日本語".as_bytes(), "生の日本語"),
        (b"\x1b$BF|K\\\x1b(B", "日本"),
        (b"caf\xe9", "caf\u{e9}"),
        (b"=?utf-8?X?a?=", "=?utf-8?X?a?="),
        (b"=??=", "=??="),
    ];
    for (raw, expected) in rows {
        assert_eq!(decode_field(raw), *expected, "{}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn charsets_are_found_by_the_labels_that_mailers_write() {
    let rows: &[(&str, &[u8], &str)] = &[
        ("", b"abc", "abc"),
        ("UTF-8", "日本".as_bytes(), "日本"),
        ("iso2022_jp", b"\x1b$BF|K\\\x1b(B", "日本"),
        ("iso-2022-jp-ms", b"\x1b$B-!\x1b(B", "①"),
        ("iso2022_jp_ext", b"\x1b(I1\x1b(B", "ｱ"),
        ("iso-2022-jp", b"\x0e1\x0f", "ｱ"),
        ("iso-2022-jp", b"\xb1", "ｱ"),
        ("iso-2022-jp-2", b"\x1b$A0!\x1b(B", "啊"),
        ("iso-2022-jp-2", b"\x1b$(C0!\x1b(B", "가"),
        // A line that does not shift back does not swallow the next one.
        ("iso-2022-jp", b"\x1b$BF|\r\nabc", "日\r\nabc"),
        ("cp932", b"\x93\xfa\x96\x7b", "日本"),
        ("Shift_JIS", b"\x93\xfa\x96\x7b", "日本"),
        ("\"euc_jp\"", b"\xc6\xfc\xcb\xdc", "日本"),
        ("gb2312", b"\xd6\xd0", "中"),
        ("koi8_r", b"\xc1", "а"),
        ("iso8859_5", b"\xd0", "а"),
        ("cp1251", b"\xe0", "а"),
        ("latin_1", b"\xe9", "é"),
        ("big5hkscs", b"\xa4\xa4", "中"),
        ("euc_kr", b"\xb0\xa1", "가"),
        ("unknown-8bit", b"\xe9t\xe9", "été"),
        // A wrong label does not make a reader blind.
        ("utf-8", b"\x93\xfa\x96\x7b\x82\xcc", "日本の"),
        ("hz-gb-2312", b"abc", "abc"),
    ];
    for (label, octets, expected) in rows {
        assert_eq!(decode_charset(octets, label).text, *expected, "{label} {octets:x?}");
    }
}

#[test]
fn body_text_has_the_shape_that_spamassassin_rules_expect() {
    let mail = "Subject: =?utf-8?Q?Hi?=\r\n\r\none\r\n two\t three\r\n\r\n\r\nfour\r\n";
    assert_eq!(units(mail), ["Hi\n", "one two three\n", "four\n"]);
    let long = format!("Subject: x\r\n\r\n{}", "word ".repeat(1000));
    let long = units(&long);
    assert!(long.iter().all(|unit| unit.len() <= 2048), "{:?}", long.len());
    assert_eq!(long.concat().matches("word").count(), 1000);
}

#[test]
fn raw_body_is_decoded_and_not_rendered() {
    let mail = b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b>a=3Db</b>\r\n";
    let seen = view(mail);
    assert_eq!(seen.rawbody().octets, b"<b>a=b</b>\n");
    let long = format!("A: b\r\n\r\n{}", "line of text\r\n".repeat(500));
    let seen = view(long.as_bytes());
    assert_eq!(seen.rawbody().ends.last(), Some(&(13 * 500)));
    assert!(seen.rawbody().iter().all(|unit| unit.ends_with(b"\n") && unit.len() <= 2048));
}

#[test]
fn html_is_read_as_shown_and_hidden_text_is_told_apart() {
    let read = html_text(
        "<html><head><title>T &amp; t</title><style>p{}</style></head><body><p>Hello&nbsp;<b>wor</b>ld\
         <div style='display: none'>se<span>cr</span>et</div><br>end<script>var x;</script>\
         <!-- note --><a href='http://a.example/?a=1&amp;b=2'>x</a><font size=0>tiny</font></body>",
    );
    assert_eq!(read.title, "T & t");
    assert!(read.text.contains("Hello\u{a0}world"), "{:?}", read.text);
    assert_eq!(read.hidden(), "secrettiny");
    assert!(!read.text.contains("var x"));
    assert_eq!(read.comments.trim(), "note");
    assert_eq!(&*read.links[0], "http://a.example/?a=1&b=2");
    assert!(read.script && !read.cut);
    assert!(html_text("<p style='color:#fff;background:#FFF'>x").hidden() == "x");
    assert!(html_text("<p style='color:#fff;background:#000'>x").hidden().is_empty());
}

#[test]
fn entities_are_undone_and_broken_ones_are_kept() {
    for (text, expected) in [
        ("a&amp;b", "a&b"),
        ("&#72;&#x69;", "Hi"),
        ("&#72", "H"),
        ("&nothing;", "&nothing;"),
        ("&", "&"),
        ("&&amp;", "&&"),
        ("a&日", "a&日"),
        ("&#xFFFFFFFF;", "\u{fffd}"),
        // Browsers end a numeric reference at what is no digit, and count no zeros.
        ("evil&#46com", "evil.com"),
        ("evil&#x2Ejp", "evil.jp"),
        ("evil&#x2Ecom", "evil\u{2ec}om"),
        ("a&#45listed", "a-listed"),
        ("a&#0000000000000000000000000000000000000000000000046;b", "a.b"),
        ("&#99999999999999999999;", "\u{fffd}"),
        ("&#;&#x;&#xg", "&#;&#x;&#xg"),
    ] {
        assert_eq!(html_text(text).text, expected, "{text}");
    }
}

/// Mail clients run no scripts, so they show what is there for those that do not, and `xmp` as it stands. We passed over
/// all of it.
#[test]
fn what_clients_without_scripts_show_is_text_with_its_links() {
    for tag in ["noscript", "noembed", "noframes"] {
        let read = html_text(&format!(
            "<p>a<a href='http://a.example/'>one</a><{tag}>b &amp; c<a href='http://b.example/'>two</a>\
             <i style='display:none'>no</i></{tag}><a href='http://c.example/'>three</a>"
        ));
        assert_eq!(read.text.trim(), "aoneb & ctwonothree", "{tag}");
        assert_eq!(read.hidden(), "no", "{tag}");
        let anchors: Vec<_> =
            read.anchors.iter().filter_map(|anchor| read.anchor(anchor)).collect();
        let expected = [("a", "one"), ("b", "two"), ("c", "three")]
            .map(|(host, text)| (format!("http://{host}.example/"), text));
        let expected = expected.iter().map(|(link, text)| (&**link, *text)).collect::<Vec<_>>();
        assert_eq!(anchors, expected, "{tag}");
    }
    assert_eq!(html_text("<xmp>a <b> &amp;</xmp>").text.trim(), "a <b> &amp;");
    let settings = "<noscript><xml><o:PixelsPerInch>96</o:PixelsPerInch></xml></noscript>x";
    assert_eq!(html_text(settings).text, "x", "settings of Outlook");
    // Documents in documents in documents: read as text at last.
    let deep = "<noscript><noembed>".repeat(50) + "x";
    assert!(html_text(&deep).text.ends_with('x'));
}

/// What only one client shows, and what is loaded for a style. Lists are asked, and nothing else changes: newsletters are
/// full of both.
#[test]
fn addresses_that_some_client_loads_are_named_beside_the_links() {
    for (html, expected) in [
        ("<!--[if mso]><v:roundrect href='http://a.example/x'>b</v:roundrect><![endif]-->", 1),
        ("<!-- http://a.example/x -->", 0),
        ("<iframe srcdoc='&lt;a href=&quot;http://a.example/x&quot;&gt;b&lt;/a&gt;'></iframe>", 1),
        ("<div style='background:url(http://a.example/x)'>b</div>", 1),
        ("<style>a{background:URL( \"http://a.example/x\" )}</style>", 1),
        ("<style>/* url( */ a{background:url(http://a.example/x)}</style>", 1),
        ("<style>@import 'http://a.example/x';</style>", 1),
        ("<style>a{background:url(http://a.example/x", 1),
        ("<style>a{background:url(data:image/png;base64,xx)}</style>", 0),
        ("<img srcset='y.png 1x, http://a.example/x 2x'>", 1),
        ("<a ping='http://a.example/x' name=b>c</a>", 1),
    ] {
        let read = html_text(html);
        assert_eq!(read.named.len(), expected, "{html}");
        assert!(read.named.iter().all(|link| &**link == "http://a.example/x"), "{html}");
        assert!(read.links.iter().all(|link| !link.contains("a.example/x'")), "{html}");
        let mail = format!("Subject: x\r\nContent-Type: text/html\r\n\r\n{html}\r\n");
        let seen = view(mail.as_bytes());
        assert!(
            seen.uris()
                .iter()
                .all(|uri| uri.source != UriSource::Attribute || html.contains("srcset"))
        );
        assert_eq!(seen.named_uris().len(), expected, "{html}");
    }
}

/// Japanese has no space behind an address, and its letters may stand in a host: `linkify` read the sentence as one.
#[test]
fn an_address_ends_where_japanese_text_goes_on() {
    for (text, links, named) in [
        ("「http://evil.com」へ", &["evil.com"][..], &[][..]),
        ("【https://evil.com】よろしく", &["evil.com"], &[]),
        ("https://evil.com。よろしく", &["evil.com"], &[]),
        ("https://evil.com、よろしく", &["evil.com"], &[]),
        ("詳細はhttp://evil.comへどうぞ", &["evil.com"], &[]),
        ("http://evil.com　です", &["evil.com"], &[]),
        ("http://192.0.2.7へ", &["192.0.2.7"], &[]),
        ("http://evil.com/aへ", &["evil.com"], &["evil.com"]),
        // Without a scheme it may be a name that nobody clicks.
        ("詳細はwww.evil.comをご覧ください", &[], &["www.evil.com"]),
        ("URL：evil.com", &[], &["evil.com"]),
        ("「evil.com」", &[], &["evil.com"]),
        ("ｈｔｔｐ：／／ｅｖｉｌ．ｃｏｍ／ａ", &[], &["evil.com"]),
        ("こちらｈｔｔｐ：／／ｅｖ−ｉｌ．ｃｏｍを", &[], &["ev-il.com"]),
        ("http：//evil.com/", &[], &["evil.com"]),
        ("hxxp：//evil.com/", &[], &["evil.com"]),
        ("evil [dot] com", &[], &["evil.com"]),
        ("http://evil[.com", &["evil"], &["evil.com"]),
        // Hosts of other scripts are hosts.
        ("http://日本語.jp/x と", &["xn--wgv71a119e.jp"], &[]),
        ("http://日本語.jp へ", &["xn--wgv71a119e.jp"], &[]),
        ("http://www.日本語.co.jp/", &["www.xn--wgv71a119e.co.jp"], &[]),
        ("www.shop.com/日?u=http://b.com", &["www.shop.com"], &["www.shop.com", "b.com"]),
        // Ordinary text.
        ("見積書.pdfとreport.docを添付します。report.txtも", &[], &[]),
        ("価格は１，２００円（税込）、版はv1.2です。1.5倍。", &[], &[]),
        ("（株）日本商事　山田様　お世話になっております。", &[], &[]),
        ("担当：yamada@example.co.jpまで", &[], &[]),
        ("see 3.14 and e.g. the “file.doc” of the [DOT]", &[], &[]),
    ] {
        let mail = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n");
        let seen = view(mail.as_bytes());
        let hosts = |uris: &[Uri]| -> Vec<String> {
            uris.iter().filter(|uri| !uri.host.is_empty()).map(|uri| uri.host.to_string()).collect()
        };
        assert_eq!(hosts(seen.uris()), links, "{text}");
        let mut others = hosts(seen.named_uris());
        others.dedup();
        assert_eq!(others, named, "{text}");
    }
    let mail = b"Content-Type: text/plain\r\n\r\nHXXP://evil.com\r\n";
    assert_eq!(view(mail).uris()[0].source, UriSource::Defanged);
}

/// Clients join the lines, so that the reader gets to an address which is in two pieces for all others.
#[test]
fn addresses_across_lines_that_clients_join_are_named() {
    for (fields, text, expected) in [
        ("text/plain; format=flowed; delsp=yes", "go http://evil- \r\nlisted.com/x", true),
        ("text/plain; format=flowed", "go http://evil- \r\nlisted.com/x", false),
        ("text/calendar", "DESCRIPTION:http://evil-\r\n listed.com/x", true),
        ("text/plain", "DESCRIPTION:http://evil-\r\n listed.com/x", false),
    ] {
        let mail = format!("Subject: x\r\nContent-Type: {fields}\r\n\r\n{text}\r\n");
        let seen = view(mail.as_bytes());
        let found = seen.named_uris().iter().any(|uri| &*uri.host == "evil-listed.com");
        assert_eq!(found, expected, "{fields}: {:?}", seen.named_uris());
    }
}

/// Padding pushed the host behind the octets that were kept.
#[test]
fn the_host_of_a_long_address_is_known() {
    for link in [
        format!("http://{}@evil.com/x", "a".repeat(5000)),
        format!("http://{}@evil.com/{}", "a".repeat(50_000), "b".repeat(50_000)),
        format!("h{}ttp://evil.com/x", "\n".repeat(20_000)),
        format!("http:{}evil.com/x", "/".repeat(5000)),
        format!("http://evil.com/{}", "あ".repeat(20_000)),
    ] {
        let uri = Uri::read(&link, UriSource::Attribute).unwrap();
        assert_eq!(&*uri.host, "evil.com", "{link:.40}");
        assert!(uri.written.len() <= 4096, "{link:.40}");
    }
}

#[test]
fn shortcuts_lead_to_their_address_in_every_form_that_windows_reads() {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let plain = "[InternetShortcut]\r\nURL=http://evil.com/\r\n";
    let first = "[{000214A0-0000-0000-C000-000000000046}]\r\nProp3=19,2\r\n";
    for octets in [
        plain.as_bytes().to_vec(),
        format!("; a note\r\n{first}{plain}").into(),
        format!("\u{feff}{plain}").into(),
        wide(plain),
        wide(&format!("\u{feff}{plain}")),
    ] {
        let part = Part::of_octets("1".into(), PartOrigin::Mime, "a.url", octets.into());
        let read = shortcut::shortcut(&part.decoded).unwrap();
        assert_eq!(read.target.as_deref(), Some("http://evil.com/"));
        assert!(read.others.is_empty());
    }
    let more = "[DEFAULT]\r\nBASEURL=http://b.com/\r\n[InternetShortcut]\r\nURL=http://a.com/\r\n\
        IconFile=\\\\evil.com\\x\\a.ico\r\nWorkingDirectory=C:\\x\r\n";
    let read = shortcut::shortcut(more.as_bytes()).unwrap();
    assert_eq!(read.target.as_deref(), Some("http://a.com/"));
    assert_eq!(read.others, ["http://b.com/", r"\\evil.com\x\a.ico"]);
    for other in ["see [InternetShortcut]\nURL=http://a.com/", "[other]\nURL=http://a.com/", ""] {
        assert!(shortcut::shortcut(other.as_bytes()).is_none(), "{other}");
    }
}

#[test]
fn uris_come_from_text_and_attributes_with_their_real_host() {
    let mail = "Subject: x\r\nContent-Type: text/html\r\n\r\n\
        see www.Example.co.jp/x and hxxp://evil[.]example/a and report.doc and etc.But\r\n\
        <a href=\"HTTP://ex%61mple.com/%7Eu\">x</a> <a href='javascript:alert(1)'>y</a>\
        <img src='http://3232235777/'> <a href='#top'> <a href='top'> <a href='http://日本.jp/'>";
    let seen = view(mail.as_bytes());
    let found: Vec<_> = seen
        .uris()
        .iter()
        .map(|uri| (&*uri.canonical, &*uri.host, &*uri.domain, uri.source))
        .collect();
    let expected = [
        ("http://example.com/~u", "example.com", "example.com", UriSource::Attribute),
        ("javascript:alert(1)", "", "", UriSource::Attribute),
        ("http://192.168.1.1/", "192.168.1.1", "", UriSource::Attribute),
        ("http://xn--wgv71a.jp/", "xn--wgv71a.jp", "xn--wgv71a.jp", UriSource::Attribute),
        ("http://www.example.co.jp/x", "www.example.co.jp", "example.co.jp", UriSource::Text),
        ("http://evil.example/a", "evil.example", "evil.example", UriSource::Defanged),
    ];
    assert_eq!(found, expected);
}

/// Clients that guess show such a part as HTML, with links that the reader follows. Its text was rendered,
/// and where the links lead was nobody's business.
#[test]
fn links_of_html_that_calls_itself_plain_text_are_links() {
    let html = "<HTML><body><a href=\"http://evil.example/login\">your bank</a></body></HTML>";
    for (content_type, expected) in
        [("text/html", 1), ("text/plain", 1), ("text/x-note", 1), ("application/x", 0)]
    {
        let mail = format!("Subject: x\r\nContent-Type: {content_type}\r\n\r\n \r\n{html}\r\n");
        let seen = view(mail.as_bytes());
        let found: Vec<_> = seen.uris().iter().map(|uri| (&*uri.host, uri.source)).collect();
        assert_eq!(found, vec![("evil.example", UriSource::Attribute); expected], "{content_type}");
    }
    // Text about HTML is text.
    let mail = b"Subject: x\r\n\r\nwrite <a href=\"http://a.example/\">x</a>\r\n";
    assert_eq!(view(mail).uris()[0].source, UriSource::Text);
}

#[test]
fn normalising_folds_disguises_and_leaves_real_words() {
    for (text, expected) in [
        ("pаypal", "paypal"),
        ("V\u{200b}i\u{ad}agra", "Viagra"),
        ("Ｖｉａｇｒａ　ﾃｽﾄ", "Viagra テスト"),
        ("привет мир", "привет мир"),
        ("ﬁnance ①", "finance 1"),
    ] {
        let mut out = String::new();
        normalise(text, &mut out);
        assert_eq!(out, expected, "{text}");
    }
}

#[test]
fn file_names_are_read_from_both_fields_and_all_encodings() {
    let rows: &[(&str, &[&str])] = &[
        ("attachment; filename=\"a.exe\"", &["a.exe", "b.txt"]),
        ("attachment; filename*=utf-8''%e6%97%a5.exe", &["日.exe", "b.txt"]),
        (
            "attachment; filename*0*=iso-2022-jp''%1B$BF|%1B(B; filename*1=.exe",
            &["日.exe", "b.txt"],
        ),
        ("attachment; filename=\"=?utf-8?B?5pel?=.exe\"", &["日.exe", "b.txt"]),
        ("attachment; filename=a;b.exe", &["a", "b.txt"]),
        ("attachment; filename=\"a;b\\\"c.exe\"", &["a;b\"c.exe", "b.txt"]),
        ("attachment; filename=\"unclosed.exe", &["unclosed.exe", "b.txt"]),
        ("attachment", &["b.txt"]),
    ];
    for (disposition, expected) in rows {
        let mail = format!(
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: application/zip; \
             name=\"b.txt\"\r\nContent-Disposition: {disposition}\r\n\r\nq\r\n--x--\r\n"
        );
        let seen = view(mail.as_bytes());
        let names: Vec<&str> = seen.parts[0].file_names.iter().map(|name| &**name).collect();
        assert_eq!(names, *expected, "{disposition}");
    }
}

#[test]
fn parts_keep_their_octets_whatever_their_charset() {
    let mail = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; \
        charset=iso-8859-1\r\n\r\ncaf\xe9\r\n--x\r\nContent-Type: text/plain; charset=shift_jis\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nk/qWew==\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: inner\r\n\r\ninner text\r\n--x--\r\n";
    let seen = view(mail);
    let parts: Vec<_> = seen.parts.iter().map(|p| (&*p.path, &*p.decoded, p.text())).collect();
    assert_eq!(parts[0], ("1", &b"caf\xe9"[..], "caf\u{e9}"));
    assert_eq!(parts[1], ("2", &b"\x93\xfa\x96\x7b"[..], "日本"));
    assert_eq!(parts[2].0, "3");
    assert_eq!(parts[2].2.trim(), "inner text");
    assert_eq!(&*seen.parts[2].fields[0].value, "inner");
    assert!(seen.exceptions.is_empty(), "{:?}", seen.exceptions);
}

#[test]
fn uuencode_and_bare_base64_become_parts() {
    let mail = "A: b\r\n\r\ntext\r\nbegin 644 a.com\r\n#86)C\r\n`\r\nend\r\nmore\r\n";
    let seen = view(mail.as_bytes());
    assert_eq!(seen.parts[1].file_name(), Some("a.com"));
    assert_eq!(&*seen.parts[1].decoded, b"abc");
    let mail = format!("A: b\r\n\r\n{}\r\n", "YWJj".repeat(20));
    assert_eq!(&*view(mail.as_bytes()).parts[1].decoded, "abc".repeat(20).as_bytes());
    assert_eq!(view(b"A: b\r\n\r\nwe begin 644 things\r\n").parts.len(), 1);
}

#[test]
fn limits_give_exceptions_and_the_message_is_still_scanned() {
    let limits = ViewLimits { depth_max: 3, parts_max: 10, ..ViewLimits::shard() };
    let mut nested = String::new();
    for level in 0..8 {
        nested +=
            &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
    }
    nested += "\r\nEND MARK\r\n";
    let many = format!(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n{}",
        "--x\r\n\r\npart\r\n".repeat(15)
    );
    let fields = "A: b\r\n".repeat(2000) + "\r\nbody";
    let long = format!("A: {}\r\n\r\nbody", "x".repeat(70_000));
    let typed = format!("A: b\r\n\r\n{}", "Content-Type: message/rfc822\r\n\r\n".repeat(9000));
    for raw in [nested, many, fields, long, typed] {
        let seen = View::build(raw.as_bytes(), &limits);
        let kinds: Vec<_> = seen.exceptions.iter().map(|exception| exception.kind).collect();
        assert!(kinds.contains(&ExceptionKind::LimitReached(Limit::Mime)), "{:.60}", raw);
        assert!(!seen.parts.is_empty() && seen.parts.len() <= 10);
        let all: usize = seen.parts.iter().map(|part| part.decoded.len()).sum();
        assert!(all > 0, "{raw:.60}");
    }
}

#[test]
fn deepest_nesting_that_is_let_in_fits_a_small_stack() {
    let limits = ViewLimits::shard();
    let raw =
        "Content-Type: message/rfc822\r\n\r\n".repeat(limits.parts_max * 2 - 1) + "A: b\r\n\r\nx";
    let read = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(move || View::build(raw.as_bytes(), &limits).exceptions)
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(
        read.first().map(|exception| exception.kind),
        Some(ExceptionKind::LimitReached(Limit::Mime))
    );
}

#[test]
fn declared_types_are_counted_as_the_parser_could_see_them() {
    for (raw, count) in [
        ("Content-Type: a", 1),
        ("content-type : a\r\nCon tent-TYPE: b", 2),
        ("X-Content: a\r\nType: b", 0),
        ("a: b: c", 0),
    ] {
        assert_eq!(declared::type_fields(raw.as_bytes()).count(), count, "{raw}");
    }
}

#[test]
fn file_types_are_seen_through_their_octets() {
    let mut tar = vec![0_u8; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let mut iso = vec![0_u8; 0x8001 + 5];
    iso[0x8001..].copy_from_slice(b"CD001");
    let mut pe = vec![0_u8; 0x80];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3C] = 0x40;
    pe[0x40..0x44].copy_from_slice(b"PE\0\0");
    let zip_with_prefix = [&b"GIF89a"[..], b"PK\x05\x06", &[0; 18]].concat();
    let rows: &[(&[u8], FileType)] = &[
        (b"", FileType::Empty),
        (b"%PDF-1.7", FileType::Pdf),
        (b"junk\n%PDF-1.7", FileType::Pdf),
        (&pe, FileType::Pe),
        (b"MZ\x90", FileType::DosExe),
        (b"\x7fELF\x02", FileType::Elf),
        (b"#!/bin/sh\n", FileType::Script),
        (b"  <HTML><p>", FileType::Html),
        (b"hello world", FileType::Text),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", FileType::Image),
        (b"PK\x03\x04rest", FileType::Zip),
        (b"PK\x03\x04[Content_Types].xml", FileType::Ooxml),
        (b"PK\x03\x04[Content_Types].xml word/vbaProject.bin", FileType::OoxmlMacro),
        (&zip_with_prefix, FileType::Zip),
        (b"7z\xbc\xaf\x27\x1c\0\x04", FileType::SevenZip),
        (b"Rar!\x1a\x07\x01\0", FileType::Rar),
        (&tar, FileType::Tar),
        (&iso, FileType::Iso),
        (b"\x1f\x8b\x08\0", FileType::Gzip),
        (b"BZh91AY", FileType::Bzip2),
        (b"\0\x01\x02\x03", FileType::Unknown),
    ];
    for (octets, expected) in rows {
        assert_eq!(detect(octets), *expected, "{octets:.20x?}");
    }
}

#[test]
fn header_section_ends_at_the_first_empty_line_and_odd_lines_are_passed_over() {
    let seen =
        view(b"From x@y Mon Jan 1 10:00:00 2001\r\nA : 1\r\nnonsense\r\nB: 2\r\n\r\nC: 3\r\n");
    let fields: Vec<_> = seen.fields.iter().map(|f| (&*f.name, &*f.value)).collect();
    assert_eq!(fields, [("A", "1"), ("B", "2")]);
    assert!(seen.header_section().ends_with(b"B: 2\r\n"));
    assert_eq!(trace::hop_count(&view(b"Received: a\r\nreceived: b\r\n\r\n")), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_octets_give_a_view(raw in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_view(&raw);
    }

    #[test]
    fn any_mix_of_mime_tokens_gives_a_view(tokens in proptest::collection::vec(0_usize..14, 0..80)) {
        const TOKENS: [&str; 14] = [
            "Content-Type: multipart/mixed; boundary=x\r\n", "\r\n", "--x\r\n", "--x--\r\n", "text\r\n",
            "Content-Type: message/rfc822\r\n", "Content-Type: text/html; charset=iso-2022-jp\r\n",
            "Content-Transfer-Encoding: base64\r\n", "Content-Type: multipart/digest; boundary=y\r\n",
            "--y\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", "=3D=\r\n", "PGI+\r\n", "--y--",
        ];
        let raw: String = tokens.into_iter().filter_map(|index| TOKENS.get(index).copied()).collect();
        fuzz_view(raw.as_bytes());
    }
}

#[test]
fn text_among_the_fields_is_read_as_text() {
    let raw = b"Subject: a\r\nno field at all: or is it\r\nbuy pills now\r\nX: y\r\n\r\nbody\r\n";
    let view = View::build(raw, &ViewLimits::shard());
    assert!(view.body().text.contains("buy pills now"), "{}", view.body().text);
    let plain = b"From a@b.test Mon\r\nSubject: a\r\n b\r\nX:\r\n\r\nbody\r\n";
    assert_eq!(View::build(plain, &ViewLimits::shard()).parts.len(), 1);
}

#[test]
fn a_text_that_only_says_that_it_is_base64_is_read_as_it_is() {
    let raw =
        b"Content-Transfer-Encoding: base64\r\n\r\nPull party, ability why. Security, another.\r\n";
    let view = View::build(raw, &ViewLimits::shard());
    assert!(view.body().text.contains("ability why"), "{}", view.body().text);
    let real = b"Content-Transfer-Encoding: base64\r\n\r\nUHVsbCBwYXJ0eSBhYmlsaXR5IHdoeQ==\r\n";
    assert_eq!(View::build(real, &ViewLimits::shard()).parts.len(), 1);
}

#[test]
fn an_apostrophe_of_windows_1252_is_not_taken_for_japanese() {
    let read = decode_charset(b"It\x92s fine, Fr\xF6sche \x93Hi\x94", "");
    assert_eq!(read.text, "It\u{2019}s fine, Fr\u{F6}sche \u{201C}Hi\u{201D}");
    // "日本語です" in Shift_JIS, undeclared.
    let read = decode_charset(b"\x93\xFA\x96\x7B\x8C\xEA\x82\xC5\x82\xB7", "");
    assert_eq!(read.text, "\u{65E5}\u{672C}\u{8A9E}\u{3067}\u{3059}");
}

#[test]
fn blanks_that_uuencode_lost_at_line_ends_are_zeros() {
    // Twelve zeros between letters, each written as a blank, all of them lost on the way.
    let mail = "A: b\r\n\r\nbegin 644 a.bin\r\n/86)C\r\n#86)C\r\n`\r\nend\r\n";
    let seen = view(mail.as_bytes());
    assert_eq!(&*seen.parts[1].decoded, b"abc\0\0\0\0\0\0\0\0\0\0\0\0abc");
    // Many times as much as the text is not made of it.
    let mail = format!("A: b\r\n\r\nbegin 644 a.bin\r\n{}`\r\nend\r\n", "M\r\n".repeat(100_000));
    assert!(view(mail.as_bytes()).parts[1].decoded.len() < 400_000);
}

#[test]
fn base64_is_found_between_tags_behind_colons_and_in_short_lines() {
    let pdf: Vec<u8> = [&b"%PDF-1.4\n"[..], &[b'x'; 200]].concat();
    let letters = base64_simd::STANDARD.encode_to_string(&pdf);
    let lines = |width: usize, indent: &str| {
        let lines: Vec<&str> =
            letters.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
        lines.join(&format!("\r\n{indent}"))
    };
    for (story, text) in [
        ("in one line", format!("<?xml?><a><b>{letters}</b></a>")),
        ("indented", format!("<?xml?><a>\r\n  <b>\r\n    {}\r\n  </b></a>", lines(76, "    "))),
        ("with blanks", format!("<?xml?><a><b> {} </b>", lines(20, "").replace("\r\n", " "))),
        ("folded", format!("ATTACH;ENCODING=BASE64:{}\r\nEND:VEVENT\r\n", lines(60, " "))),
        ("short lines", format!("begin-base64 644 a.pdf\r\n{}\r\n====\r\n", lines(40, ""))),
    ] {
        let mail = format!("Content-Type: text/calendar\r\n\r\n{text}");
        let seen = view(mail.as_bytes());
        assert!(seen.parts.iter().any(|part| *part.decoded == pdf), "{story}");
    }
    // Tokens, keys and words are no files.
    let token = "q8Zr5".repeat(60);
    let text =
        format!("A: b\r\n\r\nkey:{token}\r\n<a>{token}</a>\r\n{}", "some words\r\n".repeat(90));
    assert_eq!(view(text.as_bytes()).parts.len(), 1);
}

#[test]
fn a_mail_is_one_whatever_its_first_field_is() {
    for (raw, kind) in [
        ("X-Any: 1\r\nSubject: a\r\n\r\n<html>", FileType::Mail),
        ("Snapshot-Content-Location: x\r\n folded\r\nMIME-Version: 1.0\r\n\r\n", FileType::Mail),
        ("From a@b Tue Jul  1 10:00:00 2025\r\nX: 1\r\nFrom: a\r\n\r\n", FileType::Mail),
        (">From a@b Tue Jul  1\nReceived: x\n\n", FileType::Mail),
        ("From: <Saved>\r\nContent-Type: text/html\r\n\r\n<html><p>", FileType::Mail),
        ("Note: 1\r\nnothing of a mail\r\n\r\n", FileType::Text),
        ("a: 1\r\nb: 2\r\n\r\n", FileType::Text),
        ("From here on it is text\r\n\r\n", FileType::Text),
        ("<!doctype html><p>Subject: a\r\n\r\n", FileType::Html),
    ] {
        assert_eq!(detect(raw.as_bytes()), kind, "{raw}");
    }
}

#[test]
fn encodings_inside_of_text_that_are_not_read_are_said() {
    let yenc = "=ybegin line=128 size=3 name=a.zip\r\nabc\r\n=yend size=3\r\n";
    let binhex =
        format!("(This file must be converted with BinHex 4.0)\r\n\r\n:{}\r\n", "$f*TE".repeat(12));
    let headless = "Content-Transfer-Encoding: x-uuencode\r\n\r\n#86)C\r\n`\r\nend\r\n";
    for raw in [format!("A: b\r\n\r\n{yenc}"), format!("A: b\r\n\r\n{binhex}"), headless.into()] {
        let kinds: Vec<_> = view(raw.as_bytes()).exceptions.iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [ExceptionKind::NotScanned], "{raw}");
    }
    for text in [
        "a line that begins with\r\n=ybegin line=128 is yEnc\r\n",
        "(This file must be converted with BinHex 4.0) is what it says\r\n:-) I said\r\n",
    ] {
        assert!(view(format!("A: b\r\n\r\n{text}").as_bytes()).exceptions.is_empty(), "{text}");
    }
}
