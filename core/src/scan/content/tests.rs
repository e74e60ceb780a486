use std::rc::Rc;

use super::*;
use crate::message::{Part, PartOrigin, ViewLimits};

fn looked(raw: &[u8], members: Vec<Part<'static>>, expression: &Expression) -> Option<ContentHit> {
    let (hit, cut) = all_looked(raw, members, expression);
    assert!(!cut);
    hit
}

fn all_looked(
    raw: &[u8],
    members: Vec<Part<'static>>,
    expression: &Expression,
) -> (Option<ContentHit>, bool) {
    let mut view = View::build(raw, &ViewLimits::shard());
    view.parts.extend(members);
    let found = futures_lite::future::block_on(async {
        let set = ContentSet::compile(&[expression], &async || ()).await;
        look(&view, &[Rc::new(set)], &async || ()).await
    });
    (found.hits.into_iter().next(), found.cut)
}

fn mail(body: &str) -> String {
    format!(
        "From: a@example.com\r\nSubject: =?utf-8?B?6KuL5rGC5pu4?= report\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n"
    )
}

fn in_body(body: &str, expression: &Expression) -> Option<ContentHit> {
    looked(mail(body).as_bytes(), Vec::new(), expression)
}

fn words(words: &[&str], how: WordMatch, all: bool) -> Needle {
    Needle::Words { words: words.iter().map(|word| Box::from(*word)).collect(), how, all }
}

fn any(text: &[&str]) -> Expression {
    Expression::new(words(text, WordMatch::Part, false))
}

fn identifier(what: Identifier) -> Expression {
    Expression::new(Needle::Identifier(what))
}

/// How often an identifier is found in a body.
fn count(what: Identifier, body: &str) -> u32 {
    let body_only = Expression { places: vec![Place::Body], ..identifier(what) };
    in_body(body, &body_only).map_or(0, |hit| hit.count)
}

#[test]
fn words_are_found_in_any_case_width_and_line() {
    let secret = any(&["社外秘", "Top Secret"]);
    for (body, found) in [
        ("この資料は社外秘です", true),
        ("この資料は社外\r\n秘です", true),
        ("この資料は社外\r\n\r\n秘です", false),
        ("ＴＯＰ　ＳＥＣＲＥＴ", true),
        ("top\r\n  secret", true),
        ("t\u{200B}op se\u{AD}cret", true),
        ("top-secret", false),
        ("社内", false),
    ] {
        assert_eq!(in_body(body, &secret).is_some(), found, "{body}");
    }
}

#[test]
fn how_much_a_word_must_be_iij_76_part_word_whole_wildcard() {
    let one = |word: &str, how| Expression::new(words(&[word], how, false));
    for (body, word, how, found) in [
        ("concatenate", "cat", WordMatch::Part, true),
        ("concatenate", "cat", WordMatch::Word, false),
        ("a cat.", "cat", WordMatch::Word, true),
        ("極秘cat資料", "cat", WordMatch::Word, true),
        ("極秘資料", "秘", WordMatch::Word, true),
        ("cat", "CAT", WordMatch::Whole, true),
        ("a cat", "cat", WordMatch::Whole, false),
        ("first\r\n\r\ncat\r\n\r\nlast", "cat", WordMatch::Whole, true),
        ("invoice 2026-11", "invoice*", WordMatch::Wildcard, true),
        ("my invoice", "invoice*", WordMatch::Wildcard, false),
        ("invoice.a", "invoice?a", WordMatch::Wildcard, true),
        ("invoice a+b", "*a+b", WordMatch::Wildcard, true),
    ] {
        let hit = in_body(body, &Expression { places: vec![Place::Body], ..one(word, how) });
        assert_eq!(hit.is_some(), found, "{word} {how:?} in {body}");
    }
}

#[test]
fn what_is_hidden_in_a_word_does_not_hide_the_word() {
    let hides = "社<span style=\"display:none\">qq</span>外秘 4111<i hidden>9</i>111111111111";
    let html =
        format!("Subject: x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>{hides}</p>");
    let found = |expression: Expression| {
        all_looked(html.as_bytes(), Vec::new(), &expression).0.map(|hit| hit.count)
    };
    assert_eq!(found(any(&["社外秘"])), Some(1));
    assert_eq!(found(any(&["qq"])), Some(1), "the hidden text is searched, too, once");
    assert_eq!(found(identifier(Identifier::CardNumber)), Some(1));
}

/// JIS X 0208's wave dash and minus: each side may have either character.
#[test]
fn wave_dash_and_minus_are_the_same_in_every_charset() {
    for (word, body) in [
        ("東京〜大阪", "東京～大阪"),
        ("東京～大阪", "東京〜大阪"),
        ("A−B", "A－B"),
        ("A－B", "A−B"),
        ("A-B", "A−B"),
    ] {
        assert!(in_body(body, &any(&[word])).is_some(), "{word} in {body}");
    }
}

#[test]
fn all_words_or_any_of_them() {
    let all = Expression::new(words(&["alpha", "beta"], WordMatch::Part, true));
    assert!(in_body("alpha and beta", &all).is_some());
    assert!(in_body("alpha and alpha", &all).is_none());
    assert!(in_body("beta", &any(&["alpha", "beta"])).is_some());
}

#[test]
fn places_are_kept_apart() {
    let invoice = |place| Expression { places: vec![place], ..any(&["請求書"]) };
    let raw = mail("nothing");
    let hit = looked(raw.as_bytes(), Vec::new(), &invoice(Place::Subject)).expect("there");
    assert_eq!((&*hit.place, &*hit.excerpt, hit.count), ("subject", "請求書", 1));
    assert_eq!(looked(raw.as_bytes(), Vec::new(), &any(&["請求書"])).map(|hit| hit.count), Some(1));
    let both = Expression { places: vec![Place::Subject, Place::Header], ..any(&["請求書"]) };
    assert_eq!(looked(raw.as_bytes(), Vec::new(), &both).map(|hit| hit.count), Some(1), "once");
    assert!(in_body("x", &any(&["example.com"])).is_none(), "fields are looked into where named");
    for (place, found) in [
        (Place::Body, false),
        (Place::Header, true),
        (Place::Field("subject".into()), true),
        (Place::Field("from".into()), false),
        (Place::Attachment, false),
        (Place::AttachmentName, false),
    ] {
        let hit = looked(raw.as_bytes(), Vec::new(), &invoice(place.clone()));
        assert_eq!(hit.is_some(), found, "{place:?}");
    }
}

fn member(name: &str, octets: &[u8]) -> Part<'static> {
    Part::of_octets(format!("1/{name}").into(), PartOrigin::Member, name, octets.to_vec().into())
}

#[test]
fn attachments_are_read_tm_09_attachment_content_matches_keyword() {
    let secret = Expression { places: vec![Place::Attachment], ..any(&["顧客名簿"]) };
    let in_member = |name: &str, octets: &[u8]| {
        looked(mail("x").as_bytes(), vec![member(name, octets)], &secret).map(|hit| hit.place)
    };
    let xml = "<?xml version=\"1.0\"?><w:document><w:p><w:r><w:t>顧客</w:t></w:r>\
               <w:r><w:t>名簿</w:t></w:r></w:p></w:document>";
    assert_eq!(
        in_member("document.xml", xml.as_bytes()).as_deref(),
        Some("attachment document.xml")
    );
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode("名前,顧客名簿,住所\r\n山田太郎,東京都,港区");
    assert_eq!(in_member("list.csv", &sjis).as_deref(), Some("attachment list.csv"));
    assert_eq!(
        in_member("list.txt", "顧客名簿".as_bytes()).as_deref(),
        Some("attachment list.txt")
    );
    assert_eq!(in_member("two.txt", "顧客\n名簿".as_bytes()), None, "lines stay lines");
    assert_eq!(in_member("a.bin", b"\0\x01\x02"), None);
    assert_eq!(in_body("顧客名簿", &secret), None, "the body is no attachment");
}

#[test]
fn xml_of_documents_becomes_lines() {
    let sheet =
        "<row><c><v>4111111111111111</v></c><c><v>7</v></c></row><a:t>x &amp; &#x3042;</a:t>";
    let text = text::xml_text(sheet);
    assert!(text.starts_with("4111111111111111\n"), "{text:?}");
    assert!(text.ends_with("x & あ"), "{text:?}");
}

#[test]
fn regular_expressions_with_checks_and_bounds() {
    let regex =
        |text: &str, check| Expression::new(Needle::Regex { expression: text.into(), check });
    assert!(in_body("Project ＡＢ-１２３", &regex(r"ab-\d{3}", Check::None)).is_some());
    assert!(in_body("member 79927398713", &regex(r"\d{11}", Check::Luhn)).is_some());
    assert!(in_body("member 79927398714", &regex(r"\d{11}", Check::Luhn)).is_none());
    // The classic that takes other engines for ever.
    let body = format!("{}!", "a".repeat(60_000));
    assert!(in_body(&body, &regex("(a+)+$", Check::None)).is_none());
    assert!(matches!(compile_regex("("), Err(ContentError::Regex(_))));
    assert!(matches!(compile_regex("a*"), Err(ContentError::MatchesNothing)));
    assert!(matches!(compile_regex(r"(\w{500}){500}"), Err(ContentError::Regex(_))));
}

#[test]
fn a_match_over_the_edge_of_a_window_is_found_once() {
    for before in [65_500, 65_530, 65_536, 70_000, 131_070] {
        let body = format!("{}{} 4111 1111 1111 1111 社外秘 x", "a ".repeat(before / 2), "");
        assert_eq!(count(Identifier::CardNumber, &body), 1, "{before}");
        assert_eq!(in_body(&body, &any(&["社外秘"])).map(|hit| hit.count), Some(1), "{before}");
        let regex = Needle::Regex { expression: r"4111[ \d]+".into(), check: Check::None };
        assert_eq!(in_body(&body, &Expression::new(regex)).map(|hit| hit.count), Some(1));
    }
}

#[test]
fn counts_are_of_all_or_of_different_ones() {
    let body = "4111111111111111 4111-1111-1111-1111, 5555555555554444";
    let card = identifier(Identifier::CardNumber);
    let needs = |count_min, distinct| {
        let card = Expression { count_min, distinct, ..card.clone() };
        in_body(body, &card).map(|hit| hit.count)
    };
    assert_eq!(needs(3, false), Some(3));
    assert_eq!(needs(4, false), None);
    assert_eq!(needs(2, true), Some(2));
    assert_eq!(needs(3, true), None);
}

#[test]
fn proximity_is_in_characters() {
    let near = |chars| Expression {
        near: Some(Near { needle: words(&["カード番号"], WordMatch::Part, false), chars }),
        ..identifier(Identifier::CardNumber)
    };
    let body = "カード番号は次のとおりです。4111111111111111";
    assert!(in_body(body, &near(9)).is_some());
    assert!(in_body(body, &near(8)).is_none());
    assert!(in_body("4111111111111111 がカード番号", &near(5)).is_some(), "on either side");
    assert!(in_body("4111111111111111", &near(1000)).is_none());
}

#[test]
fn card_numbers_with_luhn() {
    let found = |body| count(Identifier::CardNumber, body);
    for valid in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "４１１１－１１１１－１１１１－１１１１",
        "4111\u{2010}1111\u{2010}1111\u{2010}1111",
        "カード4111111111111111です",
        "378282246310005",
        "3782 822463 10005",
        "5555555555554444.",
        "2223003122003222",
        "3530111333300000",
        "30569309025904",
        "6011111111111117",
        "4000 0000 0000 0000 006",
        "4111 - 1111 - 1111 - 1111",
    ] {
        assert_eq!(found(valid), 1, "{valid}");
    }
    for invalid in [
        "4111111111111112",
        "4111 1111 1111 1112",
        // A part of something longer.
        "94111111111111111",
        "41111111111111110",
        "1.4111111111111111",
        "x4111111111111111",
        "4111111111111111a",
        // No issuer.
        "1234567812345670",
        "0000000000000000",
        // Not how one writes it.
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4111 11 11 1111 1111",
    ] {
        assert_eq!(found(invalid), 0, "{invalid}");
    }
    // Exported lists have commas, numbers in thousands, too.
    for (list, cards) in [
        ("4111111111111111,5500000000000004\n378282246310005,123", 3),
        ("Sato,4111111111111111,2027/05,Tokyo", 1),
        ("4222222222222,111", 1),
        ("1,234,411,111,111,111,111", 0),
    ] {
        assert_eq!(found(list), cards, "{list}");
    }
    let hit = in_body("4111-1111-1111-1111", &identifier(Identifier::CardNumber)).expect("there");
    assert_eq!(&*hit.excerpt, "****-****-****-1111");
}

#[test]
fn my_numbers_with_their_check_digit() {
    let found = |body| count(Identifier::MyNumber, body);
    for valid in
        ["123456789018", "1234 5678 9018", "１２３４５６７８９０１８", "個人番号1234-5678-9018。"]
    {
        assert_eq!(found(valid), 1, "{valid}");
    }
    assert_eq!(found("佐藤,123456789018,東京\n鈴木,123456789018,大阪"), 2, "a list");
    assert_eq!(found("1234 5678 9018 2026年"), 1, "a year behind it");
    // A part of a card or of something longer: what three of its groups make is none.
    for longer in ["4111-1111-1111-1111", "4111 1111 1111 1111", "1234-5678-9018-0001"] {
        assert_eq!(found(longer), 0, "{longer}");
    }
    for invalid in
        ["123456789012", "1234567890180", "12 3456 789018", "000000000000", "1234.56789018"]
    {
        assert_eq!(found(invalid), 0, "{invalid}");
    }
}

#[test]
fn corporate_numbers_with_their_check_digit() {
    let found = |body| count(Identifier::CorporateNumber, body);
    for valid in [
        "7000012050002",
        "7-0000-1205-0002",
        "法人番号７００００１２０５０００２",
        "登録番号：Ｔ７００００１２０５０００２",
        "T7-0000-1205-0002",
    ] {
        assert_eq!(found(valid), 1, "{valid}");
    }
    for invalid in ["8000012050002", "70000120500020", "7000 0120 50002", "AT7000012050002"] {
        assert_eq!(found(invalid), 0, "{invalid}");
    }
}

#[test]
fn drivers_licences_with_commission_and_check_digit() {
    let found = |body| count(Identifier::DriversLicence, body);
    for valid in ["309212345690", "免許証番号 ３０９２１２３４５６９０", "第309212345691号"]
    {
        assert_eq!(found(valid), 1, "{valid}");
    }
    // Check digit; no such commission (with a check digit that fits).
    for invalid in ["309212345680", "3092123456901", "159212345620"] {
        assert_eq!(found(invalid), 0, "{invalid}");
    }
}

#[test]
fn ibans_with_length_of_the_country_and_mod_97() {
    let found = |body| count(Identifier::Iban, body);
    for valid in [
        "GB82WEST12345698765432",
        "GB82 WEST 1234 5698 7654 32",
        "ＧＢ８２ ＷＥＳＴ １２３４ ５６９８ ７６５４ ３２",
        "IBAN: de89 3704 0044 0532 0130 00.",
        "NO9386011117947",
        "口座DE89370400440532013000宛",
    ] {
        assert_eq!(found(valid), 1, "{valid}");
    }
    for invalid in [
        "GB82WEST12345698765433",
        "GB82WEST123456987654321",
        "GB82WEST1234569876543",
        "XX82WEST12345698765432",
        "AGB82WEST12345698765432",
        "GB82, WEST 1234 5698 7654 32",
    ] {
        assert_eq!(found(invalid), 0, "{invalid}");
    }
}

#[test]
fn passports_and_accounts_only_near_words_that_say_so() {
    for (what, body, expected) in [
        (Identifier::Passport, "旅券番号: TK1234567", 1),
        (Identifier::Passport, "パスポート ＴＫ１２３４５６７", 1),
        (Identifier::Passport, "TK1234567", 0),
        (Identifier::Passport, "passport TK12345678", 0),
        (Identifier::Passport, "passport T12345678", 0),
        (Identifier::BankAccount, "普通預金 1234567", 1),
        (Identifier::BankAccount, "口座番号 １２３４５６７", 1),
        (Identifier::BankAccount, "1234567", 0),
        (Identifier::BankAccount, "口座番号 12345678", 0),
    ] {
        assert_eq!(count(what, body), expected, "{what:?}: {body}");
    }
}

#[test]
fn phone_numbers_ssn_and_addresses() {
    for (what, body, expected) in [
        (Identifier::PhoneNumber, "03-1234-5678", 1),
        (Identifier::PhoneNumber, "０９０－１２３４－５６７８", 1),
        (Identifier::PhoneNumber, "09012345678", 1),
        (Identifier::PhoneNumber, "+81-90-1234-5678", 1),
        (Identifier::PhoneNumber, "(03)1234-5678, 03(1234)5678", 2),
        (Identifier::PhoneNumber, "03 - 1234 - 5678", 1),
        (Identifier::PhoneNumber, "+81(0)3-1234-5678", 1),
        (Identifier::PhoneNumber, "0120-123-4567", 0),
        (Identifier::PhoneNumber, "13-1234-5678", 0),
        (Identifier::PhoneNumber, "00-1234-5678", 0),
        (Identifier::UsSsn, "536-90-4399", 1),
        (Identifier::UsSsn, "536904399", 0),
        (Identifier::UsSsn, "666-90-4399", 0),
        (Identifier::UsSsn, "000-90-4399", 0),
        (Identifier::UsSsn, "536-00-4399", 0),
        (
            Identifier::EmailAddress,
            "a@example.com, <b.c+d@mail.example.co.jp>; ｅ＠example.com.",
            3,
        ),
        (Identifier::EmailAddress, "@example.com a@b a@b.c1 a@ @", 0),
    ] {
        assert_eq!(count(what, body), expected, "{what:?}: {body}");
    }
}

#[test]
fn hostile_texts_take_linear_time_and_have_bounded_results() {
    let look = |body: &str, expression: Expression| {
        all_looked(mail(body).as_bytes(), Vec::new(), &expression)
    };
    let many = "4111111111111111 ".repeat(40_000);
    let (hit, cut) = look(&many, identifier(Identifier::CardNumber));
    assert!(hit.expect("there").count <= 2_000 && cut);
    // A flood of one word does not hide another.
    let both = Expression::new(words(&["a", "secret"], WordMatch::Part, true));
    let (hit, cut) = look(&format!("{}secret", "a ".repeat(100_000)), both);
    assert!(hit.is_some() && cut);
    for body in [
        "1 ".repeat(400_000),
        "1".repeat(800_000),
        "GB82".repeat(200_000),
        "@".repeat(500_000),
        "a@b.".repeat(200_000),
    ] {
        for what in Identifier::ALL {
            let _ = look(&body, identifier(what));
        }
    }
    let nested: Vec<String> = (1..60).map(|length| "a".repeat(length)).collect();
    let nested: Vec<&str> = nested.iter().map(String::as_str).collect();
    let _ = look(&"a".repeat(500_000), any(&nested));
}

#[test]
fn what_is_not_all_searched_is_said() {
    let raw = mail(&"x".repeat(900_000));
    let mut view = View::build(raw.as_bytes(), &ViewLimits::shard());
    for _ in 0..18 {
        view.parts.push(member("a.txt", "b ".repeat(500_000).as_bytes()));
    }
    let secret = any(&["社外秘"]);
    let found = futures_lite::future::block_on(async {
        let set = ContentSet::compile(&[&secret], &async || ()).await;
        look(&view, &[Rc::new(set)], &async || ()).await
    });
    assert!(found.cut && found.hits.is_empty());
}

#[test]
fn sets_are_compiled_once_and_leave_for_others() {
    let cache = RefCell::new(Cache::default());
    let one = any(&["a"]);
    let first = futures_lite::future::block_on(Cache::set(&cache, &[&one], &async || ()));
    let again = futures_lite::future::block_on(Cache::set(&cache, &[&one], &async || ()));
    assert!(Rc::ptr_eq(&first, &again));
    for number in 0..300 {
        let other = any(&[&format!("word {number}")]);
        futures_lite::future::block_on(Cache::set(&cache, &[&other], &async || ()));
    }
    assert!(cache.borrow().sets.len() <= CACHE_SETS_MAX);
    let anew = futures_lite::future::block_on(Cache::set(&cache, &[&one], &async || ()));
    assert!(!Rc::ptr_eq(&first, &anew), "nobody used it for the longest time");
}

#[test]
fn ids_follow_from_what_is_looked_for() {
    let one = any(&["a"]);
    assert_eq!(one.id, any(&["a"]).id);
    assert_ne!(one.id, any(&["b"]).id);
    assert_ne!(one.id, Expression { count_min: 2, ..one.clone() }.identified().id);
}
