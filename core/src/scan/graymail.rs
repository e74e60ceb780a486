//! Graymail: bulk mail that was asked for once. It has a sum and a threshold of its own and never makes a mail spam.
//!
//! It is told by how it was sent: by fields of RFC 2369, 2919 and 8058, by what services for newsletters leave in a
//! mail, by clicks that are counted, by words of how to unsubscribe. Two kinds of mail have such fields and are none: what
//! people write to each other on a mailing list, and what is sent for one reader alone (an order, a password).

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::finding::{Finding, MilliPoints};
use super::letter::{Letter, is_answer};
use super::links::Links;
use super::signs::{self, add};

/// Octets at both ends of a text in which words are looked for.
const HEAD_BYTES_MAX: usize = 2 * 1024;
const TAIL_BYTES_MAX: usize = 8 * 1024;
/// Links and pictures of a page that is made for many.
const PAGE_LINKS_MIN: usize = 8;
const PAGE_PICTURES_MIN: u32 = 4;
/// Links that count clicks.
const COUNTED_MIN: usize = 3;

/// Fields that services for newsletters write.
const SENDER_FIELDS: [&str; 28] = [
    "feedback-id",
    "x-sg-eid",
    "x-mailgun-sid",
    "x-mc-user",
    "x-mandrill-user",
    "x-sfmc-stack",
    "x-msfbl",
    "x-campaign",
    "x-campaign-id",
    "x-campaignid",
    "x-csa-complaints",
    "x-report-abuse",
    "x-rpcampaign",
    "x-mailer-recptid",
    "x-cmail-gid",
    "x-mkt-id",
    "x-hs-cid",
    "x-klaviyo-message-id",
    "x-acs-campaign",
    "x-rext",
    "x-mailin-campaign",
    "x-sib-id",
    "x-binding",
    "x-jobid",
    "x-subscriberid",
    "x-newsletter",
    "x-mail-id",
    "x-cuenote-id",
];

/// How to unsubscribe, in languages that come here.
const WORDS: [&str; 40] = [
    "unsubscribe",
    "opt out of",
    "opt-out",
    "email preferences",
    "e-mail preferences",
    "manage preferences",
    "manage your preferences",
    "update your preferences",
    "communication preferences",
    "stop receiving",
    "no longer wish to receive",
    "remove yourself from",
    "removed from this list",
    "removed from our mailing list",
    "removed from future mailings",
    "removed from our list",
    "to be removed,",
    "to be removed please",
    "to be removed click",
    "to be removed send",
    "to be removed from our",
    "wish to be removed",
    "like to be removed",
    "please remove me",
    "removal instructions",
    "remove in the subject",
    "配信停止",
    "配信解除",
    "配信を停止",
    "配信の停止",
    "配信の解除",
    "配信を解除",
    "購読解除",
    "購読を解除",
    "購読停止",
    "メール受信設定",
    "配信を希望されない",
    "配信を希望しない",
    "abmelden",
    "désabonner",
];

/// Subjects of what is sent for one reader.
const TRANSACTIONS: [&str; 40] = [
    "order confirmation",
    "your order",
    "order #",
    "order no",
    "receipt",
    "invoice",
    "has shipped",
    "has been shipped",
    "shipment",
    "delivered",
    "password",
    "verification code",
    "security code",
    "security alert",
    "one-time",
    "passcode",
    "verify your",
    "confirm your",
    "sign-in",
    "booking confirm",
    "reservation confirm",
    "itinerary",
    "e-ticket",
    "payment received",
    "statement is",
    "ご注文の確認",
    "ご注文ありがとう",
    "注文確認",
    "注文を承り",
    "発送のお知らせ",
    "発送しました",
    "発送いたしました",
    "お届け予定",
    "領収書",
    "予約確認",
    "予約完了",
    "パスワード",
    "認証コード",
    "ご利用のお知らせ",
    "お支払い完了",
];

fn finder(words: &[&str]) -> AhoCorasick {
    // Half the time of the automaton that the library would choose, for a few KiB.
    let mut builder = AhoCorasick::builder();
    let built = builder.kind(Some(AhoCorasickKind::DFA)).ascii_case_insensitive(true).build(words);
    built.unwrap_or_else(|error| unreachable!("short words: {error}"))
}

static UNSUBSCRIBE: LazyLock<AhoCorasick> = LazyLock::new(|| finder(&WORDS));
static TRANSACTION: LazyLock<AhoCorasick> = LazyLock::new(|| finder(&TRANSACTIONS));

/// All signs of bulk mail; returns their sum.
pub(super) fn find(letter: &Letter<'_, '_>, links: &Links, out: &mut Vec<Finding>) -> MilliPoints {
    if is_discussion(letter) || TRANSACTION.is_match(&letter.subject) {
        return 0;
    }
    let before = out.len();
    fields(letter, out);
    words(letter, out);
    if links.counted >= COUNTED_MIN && links.counted * 2 >= links.clickable {
        add(out, &signs::GRAY_CLICKS, "");
    }
    let pages = letter.view.parts.iter().filter(|part| part.is_shown_as_html());
    let many = |page: &crate::message::HtmlText| {
        page.images >= PAGE_PICTURES_MIN && page.anchors.len() >= PAGE_LINKS_MIN
    };
    if pages.map(|part| part.html()).any(many) {
        add(out, &signs::GRAY_PAGE, "");
    }
    out.iter().skip(before).map(|found| found.points).sum()
}

/// Signs in the header section.
fn fields(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    if let Some(how) = letter.field("list-unsubscribe").filter(|how| how.contains([':', '@'])) {
        add(out, &signs::GRAY_UNSUBSCRIBE, how);
        if letter.has("list-unsubscribe-post") {
            add(out, &signs::GRAY_ONE_CLICK, "");
        }
    }
    if let Some(list) = letter.field("list-id") {
        add(out, &signs::GRAY_LIST, list);
    }
    let bulk = |name: &str| {
        letter.field(name).is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.starts_with("bulk") || value.starts_with("list") || value.starts_with("junk")
        })
    };
    if bulk("precedence") || bulk("x-precedence") {
        add(out, &signs::GRAY_PRECEDENCE, "");
    }
    if let Some(field) = SENDER_FIELDS.iter().find(|field| letter.has(field)) {
        add(out, &signs::GRAY_SENDER, field);
    }
}

/// People who write to one another: a list that can be posted to, or an answer.
fn is_discussion(letter: &Letter<'_, '_>) -> bool {
    let posted =
        letter.field("list-post").is_some_and(|post| !post.to_ascii_lowercase().starts_with("no"));
    let answer = letter.has("in-reply-to") || letter.has("references");
    let answer = answer || is_answer(&letter.subject);
    // Programs for lists of people, older than RFC 2369.
    let group =
        ["mailing-list", "x-mailing-list", "x-beenthere"].iter().any(|field| letter.has(field));
    posted || answer || group && !letter.has("list-unsubscribe-post")
}

/// Words of how to unsubscribe, at the beginning or the end.
fn words(letter: &Letter<'_, '_>, out: &mut Vec<Finding>) {
    let text = &letter.view.body().text;
    let head = text.get(..text.floor_char_boundary(HEAD_BYTES_MAX)).unwrap_or(text);
    let from = text.floor_char_boundary(text.len().saturating_sub(TAIL_BYTES_MAX)).max(head.len());
    let tail = text.get(from..).unwrap_or_default();
    let found = UNSUBSCRIBE.find(tail).and_then(|found| tail.get(found.range()));
    let found = found.or_else(|| UNSUBSCRIBE.find(head).and_then(|found| head.get(found.range())));
    if let Some(found) = found {
        add(out, &signs::GRAY_BODY, found);
    }
}
