//! Signs of who the mail says that it is from, and of its header section.

use super::{Sign, sign};
use crate::scan::finding::FindingKind::{Bec, Phishing, Spam};

pub(in crate::scan) const BRAND_NAME_FOREIGN: Sign = sign(
    "BRAND_NAME_FOREIGN",
    Phishing,
    2_500,
    "The author calls himself a brand, the address is not of it",
    "差出人名は有名企業、アドレスは無関係",
);
pub(in crate::scan) const BRAND_NAME_WEAK: Sign = sign(
    "BRAND_NAME_WEAK",
    Phishing,
    700,
    "The author's name has a brand in it, the address is not of it",
    "差出人名に有名企業の名、アドレスは無関係",
);
pub(in crate::scan) const BRAND_LINKS_ELSEWHERE: Sign = sign(
    "BRAND_LINKS_ELSEWHERE",
    Phishing,
    2_000,
    "No link of a mail in a brand's name leads to the brand",
    "企業を名乗るメールのリンクが一つもその企業に向かわない",
);
pub(in crate::scan) const BRAND_LINKS_MIXED: Sign = sign(
    "BRAND_LINKS_MIXED",
    Phishing,
    800,
    "Links of a mail in a brand's name lead elsewhere, too",
    "企業を名乗るメールのリンクの一部が別の場所に向かう",
);
pub(in crate::scan) const BRAND_SUBJECT: Sign = sign(
    "BRAND_SUBJECT",
    Phishing,
    1_500,
    "The subject speaks as a brand, author and links are not of it",
    "件名は有名企業、差出人とリンクは無関係",
);
pub(in crate::scan) const BRAND_SUBJECT_WEAK: Sign = sign(
    "BRAND_SUBJECT_WEAK",
    Phishing,
    300,
    "The subject names a brand, author and links are not of it",
    "件名に有名企業の名、差出人とリンクは無関係",
);
pub(in crate::scan) const BRAND_TEXT: Sign = sign(
    "BRAND_TEXT",
    Phishing,
    800,
    "The text names a brand again and again, author and links are not of it",
    "本文が有名企業を繰り返し名乗るが、差出人とリンクは無関係",
);
pub(in crate::scan) const BRAND_PICTURES: Sign = sign(
    "BRAND_PICTURES",
    Phishing,
    1_000,
    "Pictures come from a brand that author and links are not of",
    "画像だけが有名企業のサイトのもの",
);
pub(in crate::scan) const BRAND_OPEN_REDIRECT: Sign = sign(
    "BRAND_OPEN_REDIRECT",
    Phishing,
    1_000,
    "A link through a brand's site to somewhere else",
    "有名企業のサイトを経由して別の場所へ導くリンク",
);
pub(in crate::scan) const AUTHOR_EMBEDS_BRAND: Sign = sign(
    "AUTHOR_EMBEDS_BRAND",
    Phishing,
    2_000,
    "The author's domain is foreign and has a brand's name in it",
    "差出人のドメインは無関係だが有名企業の名を含む",
);
pub(in crate::scan) const AUTHOR_LOOKS_LIKE_BRAND: Sign = sign(
    "AUTHOR_LOOKS_LIKE_BRAND",
    Phishing,
    3_000,
    "The author's domain looks like a brand's",
    "差出人のドメインが有名企業に見せかけたもの",
);
pub(in crate::scan) const AUTHOR_NEAR_BRAND: Sign = sign(
    "AUTHOR_NEAR_BRAND",
    Phishing,
    1_200,
    "The author's domain is one letter off a brand's",
    "差出人のドメインが有名企業と一文字違い",
);
pub(in crate::scan) const AUTHOR_CHEAP_SUFFIX: Sign = sign(
    "AUTHOR_CHEAP_SUFFIX",
    Spam,
    500,
    "The author's top-level domain is one of throw-away names",
    "差出人が使い捨てに多いトップレベルドメイン",
);
pub(in crate::scan) const AUTHOR_RANDOM: Sign = sign(
    "AUTHOR_RANDOM",
    Spam,
    700,
    "The author's domain is made of random letters",
    "差出人のドメインが無作為な文字列",
);
pub(in crate::scan) const AUTHOR_DISPOSABLE: Sign = sign(
    "AUTHOR_DISPOSABLE",
    Spam,
    1_500,
    "The author has a throw-away mailbox",
    "差出人が使い捨てアドレス",
);
pub(in crate::scan) const AUTHOR_NAME_IS_ADDRESS: Sign = sign(
    "AUTHOR_NAME_IS_ADDRESS",
    Phishing,
    1_000,
    "The author's name is another address than his",
    "差出人名が別のメールアドレス",
);
pub(in crate::scan) const AUTHOR_LETTERS_DISGUISED: Sign = sign(
    "AUTHOR_LETTERS_DISGUISED",
    Phishing,
    2_000,
    "Letters of other scripts in the author's name",
    "差出人名に他の文字体系の似た文字",
);
pub(in crate::scan) const AUTHOR_IS_RECIPIENT: Sign = sign(
    "AUTHOR_IS_RECIPIENT",
    Spam,
    300,
    "Author and recipient are the same",
    "差出人と宛先が同じ",
);
pub(crate) const REPLY_TO_FREE_MAIL: Sign = sign(
    "REPLY_TO_FREE_MAIL",
    Bec,
    1_500,
    "Answers go to a free mailbox, the author has none",
    "返信先だけがフリーメール",
);
pub(in crate::scan) const REPLY_TO_OTHER_FREE_MAIL: Sign = sign(
    "REPLY_TO_OTHER_FREE_MAIL",
    Bec,
    2_500,
    "Answers go to another free mailbox than the author's",
    "返信先が差出人と別のフリーメール",
);
pub(in crate::scan) const REPLY_TO_ELSEWHERE: Sign = sign(
    "REPLY_TO_ELSEWHERE",
    Spam,
    200,
    "Answers go to another domain than the author's",
    "返信先が差出人と別のドメイン",
);
pub(in crate::scan) const SUBJECT_INVISIBLE: Sign = sign(
    "SUBJECT_INVISIBLE",
    Spam,
    1_000,
    "Invisible characters in the subject",
    "件名に見えない文字",
);
pub(in crate::scan) const SUBJECT_LETTERS_DISGUISED: Sign = sign(
    "SUBJECT_LETTERS_DISGUISED",
    Phishing,
    1_500,
    "Letters of other scripts in words of the subject",
    "件名の単語に他の文字体系の似た文字",
);
pub(in crate::scan) const SUBJECT_FANCY_LETTERS: Sign = sign(
    "SUBJECT_FANCY_LETTERS",
    Spam,
    800,
    "Mathematical letters instead of plain ones in the subject",
    "件名に数学用英字",
);
pub(in crate::scan) const SUBJECT_ENCODED_FOR_NOTHING: Sign = sign(
    "SUBJECT_ENCODED_FOR_NOTHING",
    Spam,
    400,
    "A subject or name of plain letters in base64",
    "ASCIIだけの件名や名前をbase64符号化",
);
pub(in crate::scan) const NO_DATE: Sign =
    sign("NO_DATE", Spam, 300, "No Date field", "Date欄がない");
pub(in crate::scan) const NO_MESSAGE_ID: Sign =
    sign("NO_MESSAGE_ID", Spam, 300, "No Message-ID field", "Message-ID欄がない");
pub(in crate::scan) const NO_TO: Sign =
    sign("NO_TO", Spam, 300, "Addressed to nobody", "宛先欄がない");
pub(in crate::scan) const TO_UNDISCLOSED: Sign =
    sign("TO_UNDISCLOSED", Spam, 600, "Addressed to undisclosed recipients", "宛先が非公開");
pub(in crate::scan) const DATE_FUTURE: Sign = sign(
    "DATE_FUTURE",
    Spam,
    700,
    "Dated a day or more after it was received",
    "受信より1日以上先の日付",
);
pub(in crate::scan) const DATE_PAST: Sign = sign(
    "DATE_PAST",
    Spam,
    300,
    "Dated a week or more before it was received",
    "受信より1週間以上前の日付",
);
pub(in crate::scan) const AUTHOR_NO_DOMAIN: Sign = sign(
    "AUTHOR_NO_DOMAIN",
    Spam,
    2_500,
    "The author's address is none of the internet",
    "差出人アドレスのドメインがインターネット上に存在し得ない形",
);
pub(in crate::scan) const AUTHOR_NO_ADDRESS: Sign = sign(
    "AUTHOR_NO_ADDRESS",
    Spam,
    4_000,
    "Links or a page, and the author has no address",
    "リンク付きなのに差出人アドレスがない",
);
pub(in crate::scan) const AUTHOR_ADDRESS_SPACE: Sign = sign(
    "AUTHOR_ADDRESS_SPACE",
    Spam,
    2_000,
    "White space within the brackets of the author's address",
    "差出人アドレスの中に空白",
);
pub(in crate::scan) const AUTHOR_NAME_TAIL: Sign = sign(
    "AUTHOR_NAME_TAIL",
    Spam,
    2_000,
    "The author's name begins or ends in the middle of punctuation",
    "差出人名の先頭か末尾に不自然な記号",
);
pub(in crate::scan) const AUTHOR_NUMBERED: Sign = sign(
    "AUTHOR_NUMBERED",
    Spam,
    500,
    "The author's mailbox has a long number at its end",
    "差出人アドレスの末尾に長い番号",
);
pub(in crate::scan) const AUTHOR_NAME_IS_RECIPIENT: Sign = sign(
    "AUTHOR_NAME_IS_RECIPIENT",
    Spam,
    1_200,
    "The author, somebody else, bears the recipient's name",
    "別人の差出人名が宛先のアドレス名",
);
pub(in crate::scan) const SUBJECT_HAS_RECIPIENT: Sign = sign(
    "SUBJECT_HAS_RECIPIENT",
    Spam,
    700,
    "The subject has the recipient's address in it",
    "件名に宛先アドレスが入っている",
);
pub(in crate::scan) const SUBJECT_ANSWERS_NOTHING: Sign = sign(
    "SUBJECT_ANSWERS_NOTHING",
    Spam,
    600,
    "The subject is that of an answer, but no mail is answered",
    "返信の件名だが元のメールがない",
);
pub(in crate::scan) const SENT_BY_SCRIPT: Sign = sign(
    "SENT_BY_SCRIPT",
    Spam,
    1_000,
    "A page with links from the superuser or the web server of a machine",
    "サーバーの管理者権限やWebサーバーから直接送られたHTMLメール",
);
pub(in crate::scan) const AUTHOR_FREE_HOSTING: Sign = sign(
    "AUTHOR_FREE_HOSTING",
    Spam,
    1_500,
    "The author's domain is one that anybody gets within a minute",
    "差出人のドメインが誰でもすぐ取得できる無料サイトのもの",
);
pub(in crate::scan) const FIELD_TWICE: Sign = sign(
    "FIELD_TWICE",
    Spam,
    1_500,
    "A field is there twice that a mail has once",
    "一つしかないはずのヘッダーが複数ある",
);
pub(in crate::scan) const NO_REVERSE_PATH: Sign = sign(
    "NO_REVERSE_PATH",
    Spam,
    1_200,
    "A page with links that takes no report of its delivery (MAIL FROM:<>)",
    "不達通知を受け取らない (MAIL FROM:<>) のにリンク付きHTMLメール",
);
pub(crate) const REPLY_TO_FREE_MAIL_HIDDEN: Sign = sign(
    "REPLY_TO_FREE_MAIL_HIDDEN",
    Spam,
    2_300,
    "Such a mail, and its recipients are hidden",
    "返信先がフリーメールで、宛先も隠されている",
);
pub(in crate::scan) const AUTHOR_IS_RECIPIENT_PAGE: Sign = sign(
    "AUTHOR_IS_RECIPIENT_PAGE",
    Spam,
    1_500,
    "A page in the reader's own name, unsigned, that leads elsewhere",
    "受信者本人を名乗る署名のないHTMLメールで、リンクは別の場所に向かう",
);
pub(in crate::scan) const SUBJECT_HAS_MAILBOX: Sign = sign(
    "SUBJECT_HAS_MAILBOX",
    Spam,
    600,
    "The subject calls the reader by the name of his mailbox",
    "件名が宛先のアドレス名で呼びかけている",
);
pub(in crate::scan) const SUBJECT_TAIL: Sign = sign(
    "SUBJECT_TAIL",
    Spam,
    1_500,
    "A word far behind the end of the subject",
    "件名の末尾に大きく離れた語",
);
pub(in crate::scan) const SUBJECT_CAPITALS: Sign =
    sign("SUBJECT_CAPITALS", Spam, 400, "A subject of capitals", "件名がすべて大文字");
pub(in crate::scan) const FREE_MAIL_BULK: Sign = sign(
    "FREE_MAIL_BULK",
    Spam,
    1_500,
    "A free mailbox that tells how to unsubscribe",
    "フリーメールからの一斉配信",
);
pub(in crate::scan) const MAILER_FORGED: Sign = sign(
    "MAILER_FORGED",
    Spam,
    1_000,
    "Says that a mailer wrote it which would have left its mark",
    "名乗るメールソフトの痕跡がない",
);
pub(in crate::scan) const PRIORITY_HIGH: Sign = sign(
    "PRIORITY_HIGH",
    Spam,
    500,
    "A page that is urgent by its own word",
    "HTMLで重要度が高いと自称するメール",
);
pub(in crate::scan) const AUTHOR_NAME_GAP: Sign =
    sign("AUTHOR_NAME_GAP", Spam, 1_500, "Wide gaps in the author's name", "差出人名に大きな空白");
pub(in crate::scan) const AUTHOR_NAME_EMOJI: Sign =
    sign("AUTHOR_NAME_EMOJI", Spam, 700, "Pictures in the author's name", "差出人名に絵文字");
pub(in crate::scan) const AUTHOR_SCRAMBLED: Sign = sign(
    "AUTHOR_SCRAMBLED",
    Spam,
    1_000,
    "A free mailbox of letters and digits by turns",
    "英字と数字が入り混じったフリーメールのアドレス",
);
pub(in crate::scan) const FREE_MAIL_TO_NOBODY: Sign = sign(
    "FREE_MAIL_TO_NOBODY",
    Spam,
    600,
    "From a free mailbox, and its recipients are hidden",
    "フリーメールから宛先を隠して送信",
);
pub(in crate::scan) const AUTHOR_MAILBOX_BRAND: Sign = sign(
    "AUTHOR_MAILBOX_BRAND",
    Phishing,
    2_000,
    "The author's mailbox bears a brand's name, its domain is another's",
    "差出人アドレスの@より前に有名企業の名、ドメインは無関係",
);
pub(in crate::scan) const DATE_FAR: Sign = sign(
    "DATE_FAR",
    Spam,
    2_000,
    "Dated almost a year or more after it was received",
    "受信より1年近く以上先の日付",
);
