//! Signs in the shape of a mail: each has a name, a kind, points, and words for people. What they are found in is in
//! `links`, `brand`, `hidden`, `structure` and `graymail`; those that depend on who receives are in
//! [`crate::verdict::impersonation`].
//!
//! None of them is a word of a text: words age, where a link leads and who signs do not.

use super::finding::{Finding, FindingKind, MilliPoints};

/// Characters of what was found that a finding keeps.
const FOUND_CHARS_MAX: usize = 120;

/// One sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Name in scores and logs.
    pub name: &'static str,
    /// What it is evidence of.
    pub kind: FindingKind,
    /// What it adds to the score, in thousandths.
    pub points: MilliPoints,
    /// What it says, in English.
    pub en: &'static str,
    /// What it says, in Japanese.
    pub ja: &'static str,
}

impl Sign {
    /// The finding; `found` is what it was found in or on.
    #[must_use]
    pub fn finding(&self, found: &str) -> Finding {
        let found: String = found.chars().take(FOUND_CHARS_MAX).collect();
        let detail =
            if found.is_empty() { self.en.into() } else { format!("{}: {found}", self.en).into() };
        Finding {
            kind: self.kind,
            rule: self.name.into(),
            points: self.points,
            detail,
            log_only: false,
        }
    }
}

/// Adds a sign once: what is there ten times is not ten times as bad.
pub(super) fn add(out: &mut Vec<Finding>, sign: &Sign, found: &str) {
    if !out.iter().any(|finding| &*finding.rule == sign.name) {
        out.push(sign.finding(found));
    }
}

const fn sign(
    name: &'static str,
    kind: FindingKind,
    points: MilliPoints,
    en: &'static str,
    ja: &'static str,
) -> Sign {
    Sign { name, kind, points, en, ja }
}

use FindingKind::{Bec, Graymail, Phishing, Spam, WebReputation};

/// Every sign of this module.
pub const SIGNS: &[&Sign] = &[
    &URL_BAD_HOST,
    &URL_SHORTENER,
    &LINK_USERINFO,
    &LINK_ADDRESS,
    &LINK_ADDRESS_DISGUISED,
    &LINK_HOST_ENCODED,
    &LINK_SCHEME,
    &LINK_PORT,
    &LINK_FREE_HOSTING,
    &LINK_FORM,
    &LINK_CHEAP_SUFFIX,
    &LINK_RANDOM_HOST,
    &LINK_SHOWN_ELSEWHERE,
    &LINK_SHOWN_BRAND,
    &LINK_EMBEDS_BRAND,
    &LINK_NAMES_BRAND,
    &LINK_LOOKS_LIKE_BRAND,
    &LINK_NEAR_BRAND,
    &LINK_MIXED_SCRIPTS,
    &LINK_TO_RECIPIENT,
    &LINK_DEFANGED,
    &FORM_IN_MAIL,
    &PASSWORD_IN_MAIL,
    &PASSWORD_IN_ATTACHMENT,
    &HTML_ATTACHED,
    &HTML_SCRIPT_ATTACHED,
    &BRAND_NAME_FOREIGN,
    &BRAND_NAME_WEAK,
    &BRAND_LINKS_ELSEWHERE,
    &BRAND_LINKS_MIXED,
    &BRAND_SUBJECT,
    &BRAND_SUBJECT_WEAK,
    &BRAND_TEXT,
    &BRAND_PICTURES,
    &BRAND_OPEN_REDIRECT,
    &AUTHOR_EMBEDS_BRAND,
    &AUTHOR_LOOKS_LIKE_BRAND,
    &AUTHOR_NEAR_BRAND,
    &AUTHOR_CHEAP_SUFFIX,
    &AUTHOR_RANDOM,
    &AUTHOR_DISPOSABLE,
    &AUTHOR_NAME_IS_ADDRESS,
    &AUTHOR_LETTERS_DISGUISED,
    &AUTHOR_IS_RECIPIENT,
    &REPLY_TO_FREE_MAIL,
    &REPLY_TO_OTHER_FREE_MAIL,
    &REPLY_TO_ELSEWHERE,
    &SUBJECT_INVISIBLE,
    &SUBJECT_LETTERS_DISGUISED,
    &SUBJECT_FANCY_LETTERS,
    &SUBJECT_ENCODED_FOR_NOTHING,
    &NO_DATE,
    &NO_MESSAGE_ID,
    &NO_TO,
    &TO_UNDISCLOSED,
    &DATE_FUTURE,
    &DATE_PAST,
    &HIDDEN_TEXT,
    &HIDDEN_MOST,
    &INVISIBLE_IN_WORDS,
    &LETTERS_DISGUISED,
    &PICTURE_ONLY,
    &COMMENTS_MOST,
    &ALTERNATIVES_DIFFER,
    &GRAY_UNSUBSCRIBE,
    &GRAY_ONE_CLICK,
    &GRAY_LIST,
    &GRAY_PRECEDENCE,
    &GRAY_SENDER,
    &GRAY_BODY,
    &GRAY_CLICKS,
    &GRAY_PAGE,
];

// Links.
pub(super) const URL_BAD_HOST: Sign = sign(
    "URL_BAD_HOST",
    WebReputation,
    5_000,
    "A link to a host of a list of bad hosts",
    "不正ホストのリストにあるホストへのリンク",
);
pub(super) const URL_SHORTENER: Sign =
    sign("URL_SHORTENER", Spam, 600, "A link through a shortener", "短縮URLを使うリンク");
pub(super) const LINK_USERINFO: Sign = sign(
    "LINK_USERINFO",
    Phishing,
    2_500,
    "A link that shows another host before an @",
    "@の前に別のホスト名を見せるリンク",
);
pub(super) const LINK_ADDRESS: Sign =
    sign("LINK_ADDRESS", Phishing, 1_000, "A link to a numeric address", "IPアドレスへのリンク");
pub(super) const LINK_ADDRESS_DISGUISED: Sign = sign(
    "LINK_ADDRESS_DISGUISED",
    Phishing,
    2_500,
    "A link to a numeric address in an unusual notation",
    "特殊な表記のIPアドレスへのリンク",
);
pub(super) const LINK_HOST_ENCODED: Sign = sign(
    "LINK_HOST_ENCODED",
    Phishing,
    1_500,
    "A link whose host name is percent-encoded",
    "ホスト名がパーセント符号化されたリンク",
);
pub(super) const LINK_SCHEME: Sign = sign(
    "LINK_SCHEME",
    Phishing,
    1_500,
    "Something to click that runs or carries a page",
    "クリックするとページやスクリプトが開くdata:等のリンク",
);
pub(super) const LINK_PORT: Sign =
    sign("LINK_PORT", Phishing, 500, "A link to an unusual port", "通常でないポートへのリンク");
pub(super) const LINK_FREE_HOSTING: Sign = sign(
    "LINK_FREE_HOSTING",
    Phishing,
    600,
    "A link to a page where anybody gets one",
    "誰でも作れる無料ホスティングのページへのリンク",
);
pub(super) const LINK_FORM: Sign = sign(
    "LINK_FORM",
    Phishing,
    400,
    "A link to a form that anybody can make",
    "誰でも作れるフォームへのリンク",
);
pub(super) const LINK_CHEAP_SUFFIX: Sign = sign(
    "LINK_CHEAP_SUFFIX",
    Spam,
    500,
    "A link below a top-level domain of throw-away names",
    "使い捨てに多いトップレベルドメインへのリンク",
);
pub(super) const LINK_RANDOM_HOST: Sign = sign(
    "LINK_RANDOM_HOST",
    Spam,
    500,
    "A link to a name of random letters",
    "無作為な文字列のドメインへのリンク",
);
pub(super) const LINK_SHOWN_ELSEWHERE: Sign = sign(
    "LINK_SHOWN_ELSEWHERE",
    Phishing,
    300,
    "A link that shows another domain than it leads to",
    "表示と異なるドメインへのリンク",
);
pub(super) const LINK_SHOWN_BRAND: Sign = sign(
    "LINK_SHOWN_BRAND",
    Phishing,
    2_500,
    "A link that shows a brand's domain and leads elsewhere",
    "有名企業のドメインを表示し別の場所へ導くリンク",
);
pub(super) const LINK_EMBEDS_BRAND: Sign = sign(
    "LINK_EMBEDS_BRAND",
    Phishing,
    3_000,
    "A link to a host that begins with a brand's whole domain",
    "有名企業のドメインで始まる別のホストへのリンク",
);
pub(super) const LINK_NAMES_BRAND: Sign = sign(
    "LINK_NAMES_BRAND",
    Phishing,
    1_500,
    "A link to a foreign domain with a brand's name in it",
    "有名企業の名を含む無関係なドメインへのリンク",
);
pub(super) const LINK_LOOKS_LIKE_BRAND: Sign = sign(
    "LINK_LOOKS_LIKE_BRAND",
    Phishing,
    3_000,
    "A link to a domain that looks like a brand's",
    "有名企業に見せかけたドメインへのリンク",
);
pub(super) const LINK_NEAR_BRAND: Sign = sign(
    "LINK_NEAR_BRAND",
    Phishing,
    1_200,
    "A link to a domain one letter off a brand's",
    "有名企業と一文字違いのドメインへのリンク",
);
pub(super) const LINK_MIXED_SCRIPTS: Sign = sign(
    "LINK_MIXED_SCRIPTS",
    Phishing,
    2_000,
    "A link to a name that mixes scripts",
    "文字体系を混ぜたドメインへのリンク",
);
pub(super) const LINK_TO_RECIPIENT: Sign = sign(
    "LINK_TO_RECIPIENT",
    Phishing,
    1_500,
    "A link that carries the reader's address behind a #",
    "#の後に受信者のアドレスを含むリンク",
);
pub(super) const LINK_DEFANGED: Sign = sign(
    "LINK_DEFANGED",
    Spam,
    300,
    "A link that was made unclickable",
    "クリックできない形に崩されたリンク",
);
pub(super) const FORM_IN_MAIL: Sign =
    sign("FORM_IN_MAIL", Phishing, 200, "A form inside of the mail", "メール内の入力フォーム");
pub(super) const PASSWORD_IN_MAIL: Sign = sign(
    "PASSWORD_IN_MAIL",
    Phishing,
    2_500,
    "A field for a password inside of the mail",
    "メール内のパスワード入力欄",
);
pub(super) const PASSWORD_IN_ATTACHMENT: Sign = sign(
    "PASSWORD_IN_ATTACHMENT",
    Phishing,
    3_500,
    "A field for a password in an attached page",
    "添付HTMLのパスワード入力欄",
);
pub(super) const HTML_ATTACHED: Sign =
    sign("HTML_ATTACHED", Phishing, 500, "An attached page", "添付されたHTMLファイル");
pub(super) const HTML_SCRIPT_ATTACHED: Sign = sign(
    "HTML_SCRIPT_ATTACHED",
    Phishing,
    2_500,
    "An attached page with scripts",
    "スクリプトを含む添付HTML",
);
// Brands.
pub(super) const BRAND_NAME_FOREIGN: Sign = sign(
    "BRAND_NAME_FOREIGN",
    Phishing,
    2_500,
    "The author calls himself a brand, the address is not of it",
    "差出人名は有名企業、アドレスは無関係",
);
pub(super) const BRAND_NAME_WEAK: Sign = sign(
    "BRAND_NAME_WEAK",
    Phishing,
    700,
    "The author's name has a brand in it, the address is not of it",
    "差出人名に有名企業の名、アドレスは無関係",
);
pub(super) const BRAND_LINKS_ELSEWHERE: Sign = sign(
    "BRAND_LINKS_ELSEWHERE",
    Phishing,
    2_000,
    "No link of a mail in a brand's name leads to the brand",
    "企業を名乗るメールのリンクが一つもその企業に向かわない",
);
pub(super) const BRAND_LINKS_MIXED: Sign = sign(
    "BRAND_LINKS_MIXED",
    Phishing,
    800,
    "Links of a mail in a brand's name lead elsewhere, too",
    "企業を名乗るメールのリンクの一部が別の場所に向かう",
);
pub(super) const BRAND_SUBJECT: Sign = sign(
    "BRAND_SUBJECT",
    Phishing,
    1_500,
    "The subject speaks as a brand, author and links are not of it",
    "件名は有名企業、差出人とリンクは無関係",
);
pub(super) const BRAND_SUBJECT_WEAK: Sign = sign(
    "BRAND_SUBJECT_WEAK",
    Phishing,
    300,
    "The subject names a brand, author and links are not of it",
    "件名に有名企業の名、差出人とリンクは無関係",
);
pub(super) const BRAND_TEXT: Sign = sign(
    "BRAND_TEXT",
    Phishing,
    800,
    "The text names a brand again and again, author and links are not of it",
    "本文が有名企業を繰り返し名乗るが、差出人とリンクは無関係",
);
pub(super) const BRAND_PICTURES: Sign = sign(
    "BRAND_PICTURES",
    Phishing,
    1_000,
    "Pictures come from a brand that author and links are not of",
    "画像だけが有名企業のサイトのもの",
);
pub(super) const BRAND_OPEN_REDIRECT: Sign = sign(
    "BRAND_OPEN_REDIRECT",
    Phishing,
    1_000,
    "A link through a brand's site to somewhere else",
    "有名企業のサイトを経由して別の場所へ導くリンク",
);
// The author.
pub(super) const AUTHOR_EMBEDS_BRAND: Sign = sign(
    "AUTHOR_EMBEDS_BRAND",
    Phishing,
    2_000,
    "The author's domain is foreign and has a brand's name in it",
    "差出人のドメインは無関係だが有名企業の名を含む",
);
pub(super) const AUTHOR_LOOKS_LIKE_BRAND: Sign = sign(
    "AUTHOR_LOOKS_LIKE_BRAND",
    Phishing,
    3_000,
    "The author's domain looks like a brand's",
    "差出人のドメインが有名企業に見せかけたもの",
);
pub(super) const AUTHOR_NEAR_BRAND: Sign = sign(
    "AUTHOR_NEAR_BRAND",
    Phishing,
    1_200,
    "The author's domain is one letter off a brand's",
    "差出人のドメインが有名企業と一文字違い",
);
pub(super) const AUTHOR_CHEAP_SUFFIX: Sign = sign(
    "AUTHOR_CHEAP_SUFFIX",
    Spam,
    500,
    "The author's top-level domain is one of throw-away names",
    "差出人が使い捨てに多いトップレベルドメイン",
);
pub(super) const AUTHOR_RANDOM: Sign = sign(
    "AUTHOR_RANDOM",
    Spam,
    700,
    "The author's domain is made of random letters",
    "差出人のドメインが無作為な文字列",
);
pub(super) const AUTHOR_DISPOSABLE: Sign = sign(
    "AUTHOR_DISPOSABLE",
    Spam,
    1_500,
    "The author has a throw-away mailbox",
    "差出人が使い捨てアドレス",
);
pub(super) const AUTHOR_NAME_IS_ADDRESS: Sign = sign(
    "AUTHOR_NAME_IS_ADDRESS",
    Phishing,
    1_000,
    "The author's name is another address than his",
    "差出人名が別のメールアドレス",
);
pub(super) const AUTHOR_LETTERS_DISGUISED: Sign = sign(
    "AUTHOR_LETTERS_DISGUISED",
    Phishing,
    2_000,
    "Letters of other scripts in the author's name",
    "差出人名に他の文字体系の似た文字",
);
pub(super) const AUTHOR_IS_RECIPIENT: Sign = sign(
    "AUTHOR_IS_RECIPIENT",
    Spam,
    300,
    "Author and recipient are the same",
    "差出人と宛先が同じ",
);
pub(super) const REPLY_TO_FREE_MAIL: Sign = sign(
    "REPLY_TO_FREE_MAIL",
    Bec,
    1_200,
    "Answers go to a free mailbox, the author has none",
    "返信先だけがフリーメール",
);
pub(super) const REPLY_TO_OTHER_FREE_MAIL: Sign = sign(
    "REPLY_TO_OTHER_FREE_MAIL",
    Bec,
    1_500,
    "Answers go to another free mailbox than the author's",
    "返信先が差出人と別のフリーメール",
);
pub(super) const REPLY_TO_ELSEWHERE: Sign = sign(
    "REPLY_TO_ELSEWHERE",
    Spam,
    200,
    "Answers go to another domain than the author's",
    "返信先が差出人と別のドメイン",
);
// Header section.
pub(super) const SUBJECT_INVISIBLE: Sign = sign(
    "SUBJECT_INVISIBLE",
    Spam,
    1_000,
    "Invisible characters in the subject",
    "件名に見えない文字",
);
pub(super) const SUBJECT_LETTERS_DISGUISED: Sign = sign(
    "SUBJECT_LETTERS_DISGUISED",
    Phishing,
    1_500,
    "Letters of other scripts in words of the subject",
    "件名の単語に他の文字体系の似た文字",
);
pub(super) const SUBJECT_FANCY_LETTERS: Sign = sign(
    "SUBJECT_FANCY_LETTERS",
    Spam,
    800,
    "Mathematical letters instead of plain ones in the subject",
    "件名に数学用英字",
);
pub(super) const SUBJECT_ENCODED_FOR_NOTHING: Sign = sign(
    "SUBJECT_ENCODED_FOR_NOTHING",
    Spam,
    400,
    "A subject or name of plain letters in base64",
    "ASCIIだけの件名や名前をbase64符号化",
);
pub(super) const NO_DATE: Sign = sign("NO_DATE", Spam, 500, "No Date field", "Date欄がない");
pub(super) const NO_MESSAGE_ID: Sign =
    sign("NO_MESSAGE_ID", Spam, 400, "No Message-ID field", "Message-ID欄がない");
pub(super) const NO_TO: Sign = sign("NO_TO", Spam, 300, "Addressed to nobody", "宛先欄がない");
pub(super) const TO_UNDISCLOSED: Sign =
    sign("TO_UNDISCLOSED", Spam, 400, "Addressed to undisclosed recipients", "宛先が非公開");
pub(super) const DATE_FUTURE: Sign = sign(
    "DATE_FUTURE",
    Spam,
    700,
    "Dated a day or more after it was received",
    "受信より1日以上先の日付",
);
pub(super) const DATE_PAST: Sign = sign(
    "DATE_PAST",
    Spam,
    300,
    "Dated a week or more before it was received",
    "受信より1週間以上前の日付",
);
// What the reader does not see.
pub(super) const HIDDEN_TEXT: Sign =
    sign("HIDDEN_TEXT", Spam, 600, "Much text that no reader sees", "読者に見えない大量の文字");
pub(super) const HIDDEN_MOST: Sign = sign(
    "HIDDEN_MOST",
    Spam,
    1_500,
    "Most of the text is not for the reader's eyes",
    "本文の大半が読者に見えない",
);
pub(super) const INVISIBLE_IN_WORDS: Sign = sign(
    "INVISIBLE_IN_WORDS",
    Spam,
    1_500,
    "Invisible characters inside of words",
    "単語の中に見えない文字",
);
pub(super) const LETTERS_DISGUISED: Sign = sign(
    "LETTERS_DISGUISED",
    Phishing,
    1_200,
    "Letters of other scripts inside of words",
    "単語の中に他の文字体系の似た文字",
);
pub(super) const PICTURE_ONLY: Sign = sign(
    "PICTURE_ONLY",
    Spam,
    700,
    "A picture to click and hardly any text",
    "クリックする画像だけで文字がほとんどない",
);
pub(super) const COMMENTS_MOST: Sign = sign(
    "COMMENTS_MOST",
    Spam,
    500,
    "More text in comments than in sight",
    "見える文字より多いHTMLコメント",
);
pub(super) const ALTERNATIVES_DIFFER: Sign = sign(
    "ALTERNATIVES_DIFFER",
    Spam,
    500,
    "The plain text has nothing to do with the page",
    "テキスト版とHTML版が無関係",
);
// Mail that was asked for once.
pub(super) const GRAY_UNSUBSCRIBE: Sign = sign(
    "GRAY_UNSUBSCRIBE",
    Graymail,
    1_500,
    "Can be unsubscribed from (List-Unsubscribe)",
    "購読解除の欄 (List-Unsubscribe) がある",
);
pub(super) const GRAY_ONE_CLICK: Sign = sign(
    "GRAY_ONE_CLICK",
    Graymail,
    800,
    "Can be unsubscribed from by one click",
    "ワンクリックで購読解除できる",
);
pub(super) const GRAY_LIST: Sign = sign(
    "GRAY_LIST",
    Graymail,
    700,
    "Belongs to a list of subscribers (List-Id)",
    "配信リスト (List-Id) のメール",
);
pub(super) const GRAY_PRECEDENCE: Sign =
    sign("GRAY_PRECEDENCE", Graymail, 700, "Says that it is bulk mail", "一斉配信と名乗るメール");
pub(super) const GRAY_SENDER: Sign = sign(
    "GRAY_SENDER",
    Graymail,
    800,
    "Sent by a service for newsletters",
    "配信サービスからのメール",
);
pub(super) const GRAY_BODY: Sign =
    sign("GRAY_BODY", Graymail, 1_500, "Tells how to unsubscribe", "配信停止の方法が書かれている");
pub(super) const GRAY_CLICKS: Sign =
    sign("GRAY_CLICKS", Graymail, 800, "Its links count clicks", "リンクがクリックを数える");

pub(super) const GRAY_PAGE: Sign = sign(
    "GRAY_PAGE",
    Graymail,
    700,
    "A page of many pictures and links",
    "画像とリンクの多いページ",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_has_a_name_of_its_own_and_words_in_both_languages() {
        let mut names: Vec<&str> = SIGNS.iter().map(|sign| sign.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SIGNS.len());
        for sign in SIGNS {
            assert!(sign.en.is_ascii() && !sign.ja.is_ascii() && sign.points > 0, "{sign:?}");
            assert!(
                sign.en.len() + FOUND_CHARS_MAX < 200,
                "{sign:?}: findings keep 200 characters"
            );
        }
    }
}
