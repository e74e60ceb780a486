//! Signs of phishing against readers of Japanese, on mails of our own. TM-08, issue 4 section 2.

use super::*;

/// Built-in signs of a mail with this author and these words.
fn signs_of(from: &str, subject: &str, text: &str) -> Vec<String> {
    let coded = |text: &str| {
        let base64 = base64_simd::STANDARD.encode_to_string(text);
        if text.is_ascii() { text.to_owned() } else { format!("=?utf-8?B?{base64}?=") }
    };
    let (name, address) = from.rsplit_once(' ').unwrap_or(("", from));
    let raw = format!(
        "Received: from a.example by b.example; Fri, 27 Nov 2026 10:00:00 +0900\r\n\
         From: {} {address}\r\nTo: taro@corp.example.jp\r\nSubject: {}\r\nDate: Fri, 27 Nov 2026 10:00:00 +0900\r\n\
         Message-ID: <1@x.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         <p>{text}</p><a href=\"https://www.third-house.com/x\">こちら</a>\r\n",
        coded(name),
        coded(subject),
    );
    found_in(&raw)
}

fn found_in(raw: &str) -> Vec<String> {
    let view = View::build(raw.as_bytes(), &ViewLimits::worker());
    let seen = look_whole(&view, &no_tables());
    seen.findings.iter().map(|finding| finding.rule.to_string()).collect()
}

fn has(found: &[String], sign: &str) -> bool {
    found.iter().any(|rule| rule == sign)
}

#[test]
fn a_mailbox_named_after_a_brand_belongs_to_it_or_is_a_sign() {
    let found = |from: &str| has(&signs_of(from, "お知らせ", "本文"), "AUTHOR_MAILBOX_BRAND");
    for from in [
        "お知らせ <Rakuten.card-dbv1@news.other-house.com>",
        "お知らせ <paypay-info-b0uTV@other-house.co.jp>",
        "お知らせ <faq.mizuhobank.co.jp@other-house.cn>",
        "<American.mercari-qptcf883@apps.other-house.jp>",
    ] {
        assert!(found(from), "{from}");
    }
    for from in [
        "お知らせ <rakuten@mail.rakuten.co.jp>",
        "お知らせ <info@other-house.com>",
        // A word that is somebody's name, too; anybody's mailbox; a service for newsletters.
        "Anna Apple <anna.apple@other-house.com>",
        "<mercari.fan@gmail.com>",
        "<rakuten@em.sendgrid.net>",
        // A site's own program, which leads to the site.
        "<wordpress@www.third-house.com>",
        // Names of people, words, an office: first labels of some brand's domain.
        "<otto.mueller@firma.example.de>",
        "<michael.douglas@law.example.com>",
        "<post@firma.example.no>",
        "<sakura@clinic.or.jp>",
        "<booking@hotel.example.com>",
        "<rakuten.taro@other-house.com>",
    ] {
        assert!(!found(from), "{from}");
    }
}

#[test]
fn kanji_that_pass_for_kana_in_the_name_of_a_brand() {
    let found = |name: &str, subject: &str| {
        let from = format!("{name} <a@other-house.com>");
        let signs = signs_of(&from, subject, "本文");
        (has(&signs, "AUTHOR_LETTERS_DISGUISED"), has(&signs, "SUBJECT_LETTERS_DISGUISED"))
    };
    for name in ["三井住友力一ド", "エポス力ード", "メル力リ事務局", "【才リコ】"]
    {
        assert_eq!(found(name, "お知らせ"), (true, false), "{name}");
    }
    assert_eq!(found("お客様窓口", "【メル力リ】お支払いについて"), (false, true));
    for name in ["三井住友カード", "一口馬主クラブ", "八工大カーネル会", "山田二郎"]
    {
        assert_eq!(found(name, "ご入力のお願い (カード)"), (false, false), "{name}");
    }
    for subject in ["施工ポスターのご確認", "竣工ポスト設置のお知らせ", "天才リコーダー教室"]
    {
        assert_eq!(found("お客様窓口", subject), (false, false), "{subject}");
    }
}

#[test]
fn some_simplified_chinese_in_a_japanese_text() {
    let found = |text: &str| has(&signs_of("A <a@other-house.com>", "x", text), "TEXT_SIMPLIFIED");
    let japanese = "いつもご利用いただきありがとうございます。お客さまのアカウントについてお知らせいたします。\
        下記のリンクからお手続きくださいますようお願い申し上げます。";
    assert!(!found(japanese));
    assert!(found(&format!("{japanese}请ご确认ください。")));
    // Two are somebody's name; a text in both languages has many.
    assert!(!found(&format!("{japanese}担当: 刘伟。{}", "刘伟。".repeat(3))));
    let chinese =
        "亲爱的客户，感谢您一直以来的支持。请点击以下链接确认您的账户信息，谢谢。".repeat(3);
    assert!(!found(&format!("{japanese}{chinese}")));
}

#[test]
fn a_date_of_most_of_a_year_ahead() {
    let mail = |year: u32| {
        format!(
            "Received: from a.example by b.example; Fri, 27 Nov 2026 10:00:00 +0900\r\nFrom: A <a@b.example>\r\n\
             Subject: x\r\nDate: Mon, 27 Nov {year} 10:00:00 +0900\r\n\r\nx\r\n"
        )
    };
    assert!(has(&found_in(&mail(2062)), "DATE_FAR") && !has(&found_in(&mail(2062)), "DATE_FUTURE"));
    assert!(!has(&found_in(&mail(2026)), "DATE_FAR"));
}

/// People, shops, offices and small houses that are called as brands are.
#[test]
fn tm_08_who_is_called_as_a_brand_does_not_pose_as_it() {
    let sender = |from: &str| {
        let raw = format!(
            "From: {from}\r\nTo: taro@corp.example.jp\r\nSubject: x\r\nDate: Fri, 27 Nov 2026 10:00:00 +0900\r\n\
             Message-ID: <1@x.example>\r\n\r\nhttps://us02web.zoom.us/j/1\r\n"
        );
        let view = View::build(raw.as_bytes(), &ViewLimits::worker());
        look_whole(&view, &no_tables()).facts.sender
    };
    for from in [
        "info@daiwa-kogyo.co.jp",
        "info@sakura-sangyo.co.jp",
        "info@nomura-denki.co.jp",
        "info@delta-denkou.co.jp",
        // Municipalities; subscribers; somebody who works there.
        "kuyakusho@city.nagoya.lg.jp",
        "yamada.taro@axel.ocn.ne.jp",
        "tanaka@docomo.ne.jp",
        "Taro Yamada <yamada.taro@sony.com>",
    ] {
        let sender = sender(from);
        assert!(!sender.brand_unsigned, "{from} {sender:?}");
    }
    assert!(sender("Sony Rewards <noreply@sony.com>").brand_unsigned);
    assert!(sender("info@smbc-card.com").brand_unsigned);
    for from in [
        "佐川 誠 <sagawa@nakagumi-kensetsu.co.jp>",
        "みずほ歯科 <yoyaku@mizuho-dental-nagoya.jp>",
        "セゾン美容室 <info@saison-hair.jp>",
        "アップル保育園 <info@apple-hoikuen.jp>",
        "ライオン歯科 <info@lion-dental.jp>",
        "Nomura <nomura@fuji-kikai-s.co.jp>",
        "西三河農業協同組合 <info@ja-nishi.example.jp>",
    ] {
        let found = signs_of(from, "お知らせ", "本文");
        let signs = ["BRAND_NAME_FOREIGN", "BRAND_LINKS_ELSEWHERE", "AUTHOR_MAILBOX_BRAND"];
        assert!(signs.iter().all(|sign| !has(&found, sign)), "{from} {found:?}");
    }
}

/// A bounce of a tenant without a domain of its own is from "Microsoft Outlook".
#[test]
fn what_a_mail_server_reports_is_in_nobodys_name() {
    let report = |kind: &str, told: &str| {
        found_in(&format!(
            "From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@contoso.onmicrosoft.com>\r\n\
             To: taro@corp.example.jp\r\nSubject: Undeliverable: x\r\nDate: Fri, 27 Nov 2026 10:00:00 +0900\r\n\
             Message-ID: <1@x.example>\r\nContent-Type: multipart/{kind}; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
             <a href=\"https://www.third-house.com/x\">more</a>\r\n--b\r\nContent-Type: {told}\r\n\r\nReporting-MTA: dns; x\r\n--b--\r\n"
        ))
    };
    let posing = ["BRAND_NAME_FOREIGN", "AUTHOR_FREE_HOSTING", "LINKS_ELSEWHERE"];
    let found = report("report; report-type=delivery-status", "message/delivery-status");
    assert!(posing.iter().all(|sign| !has(&found, sign)), "{found:?}");
    for (kind, told) in [("report", "text/plain"), ("mixed", "message/delivery-status")] {
        let found = report(kind, told);
        assert!(posing.iter().all(|sign| has(&found, sign)), "{kind} {told} {found:?}");
    }
}
