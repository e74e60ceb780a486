//! Signs of what a reader does not see, and of mail that was asked for once.

use super::{Sign, sign};
use crate::scan::finding::FindingKind::{Graymail, Phishing, Spam};

pub(in crate::scan) const HIDDEN_TEXT: Sign =
    sign("HIDDEN_TEXT", Spam, 300, "Much text that no reader sees", "読者に見えない大量の文字");
pub(in crate::scan) const HIDDEN_MOST: Sign = sign(
    "HIDDEN_MOST",
    Spam,
    600,
    "Most of the text is not for the reader's eyes",
    "本文の大半が読者に見えない",
);
pub(in crate::scan) const INVISIBLE_IN_WORDS: Sign = sign(
    "INVISIBLE_IN_WORDS",
    Spam,
    1_500,
    "Invisible characters inside of words",
    "単語の中に見えない文字",
);
pub(in crate::scan) const LETTERS_DISGUISED: Sign = sign(
    "LETTERS_DISGUISED",
    Phishing,
    1_200,
    "Letters of other scripts inside of words",
    "単語の中に他の文字体系の似た文字",
);
pub(in crate::scan) const TEXT_SIMPLIFIED: Sign = sign(
    "TEXT_SIMPLIFIED",
    Phishing,
    1_200,
    "Some characters of simplified Chinese in a Japanese text",
    "日本語の文に中国の簡体字が混じる",
);
pub(in crate::scan) const PICTURE_ONLY: Sign = sign(
    "PICTURE_ONLY",
    Spam,
    1_000,
    "A picture to click and hardly any text",
    "クリックする画像だけで文字がほとんどない",
);
pub(in crate::scan) const COMMENTS_MOST: Sign = sign(
    "COMMENTS_MOST",
    Spam,
    500,
    "More text in comments than in sight",
    "見える文字より多いHTMLコメント",
);
pub(in crate::scan) const ALTERNATIVES_DIFFER: Sign = sign(
    "ALTERNATIVES_DIFFER",
    Spam,
    500,
    "The plain text has nothing to do with the page",
    "テキスト版とHTML版が無関係",
);
pub(in crate::scan) const GRAY_UNSUBSCRIBE: Sign = sign(
    "GRAY_UNSUBSCRIBE",
    Graymail,
    1_500,
    "Can be unsubscribed from (List-Unsubscribe)",
    "購読解除の欄 (List-Unsubscribe) がある",
);
pub(in crate::scan) const GRAY_ONE_CLICK: Sign = sign(
    "GRAY_ONE_CLICK",
    Graymail,
    800,
    "Can be unsubscribed from by one click",
    "ワンクリックで購読解除できる",
);
pub(in crate::scan) const GRAY_LIST: Sign = sign(
    "GRAY_LIST",
    Graymail,
    700,
    "Belongs to a list of subscribers (List-Id)",
    "配信リスト (List-Id) のメール",
);
pub(in crate::scan) const GRAY_PRECEDENCE: Sign =
    sign("GRAY_PRECEDENCE", Graymail, 700, "Says that it is bulk mail", "一斉配信と名乗るメール");
pub(in crate::scan) const GRAY_SENDER: Sign = sign(
    "GRAY_SENDER",
    Graymail,
    800,
    "Sent by a service for newsletters",
    "配信サービスからのメール",
);
pub(in crate::scan) const GRAY_BODY: Sign =
    sign("GRAY_BODY", Graymail, 1_500, "Tells how to unsubscribe", "配信停止の方法が書かれている");
pub(in crate::scan) const GRAY_CLICKS: Sign =
    sign("GRAY_CLICKS", Graymail, 800, "Its links count clicks", "リンクがクリックを数える");

pub(in crate::scan) const GRAY_PAGE: Sign = sign(
    "GRAY_PAGE",
    Graymail,
    800,
    "A page of many pictures and links",
    "画像とリンクの多いページ",
);
