//! Signs of links, forms and attached pages.

use super::{Sign, sign};
use crate::scan::finding::FindingKind::{Phishing, Spam, SuspiciousObject, WebReputation};

pub(in crate::scan) const URL_BAD_HOST: Sign = sign(
    "URL_BAD_HOST",
    WebReputation,
    5_000,
    "A link to a host of a list of bad hosts",
    "不正ホストのリストにあるホストへのリンク",
);
pub(in crate::scan) const URL_SUSPICIOUS_OBJECT: Sign = sign(
    "URL_SUSPICIOUS_OBJECT",
    SuspiciousObject,
    2_500,
    "A link to what a feed of suspicious objects names",
    "不審オブジェクトのフィードにあるリンク",
);
pub(in crate::scan) const URL_SHORTENER: Sign =
    sign("URL_SHORTENER", Spam, 600, "A link through a shortener", "短縮URLを使うリンク");
pub(in crate::scan) const LINK_USERINFO: Sign = sign(
    "LINK_USERINFO",
    Phishing,
    2_500,
    "A link that shows another host before an @",
    "@の前に別のホスト名を見せるリンク",
);
pub(in crate::scan) const LINK_ADDRESS: Sign =
    sign("LINK_ADDRESS", Phishing, 1_500, "A link to a numeric address", "IPアドレスへのリンク");
pub(in crate::scan) const LINK_ADDRESS_DISGUISED: Sign = sign(
    "LINK_ADDRESS_DISGUISED",
    Phishing,
    2_500,
    "A link to a numeric address in an unusual notation",
    "特殊な表記のIPアドレスへのリンク",
);
pub(in crate::scan) const LINK_HOST_ENCODED: Sign = sign(
    "LINK_HOST_ENCODED",
    Phishing,
    1_500,
    "A link whose host name is percent-encoded",
    "ホスト名がパーセント符号化されたリンク",
);
pub(in crate::scan) const LINK_SCHEME: Sign = sign(
    "LINK_SCHEME",
    Phishing,
    1_500,
    "Something to click that runs or carries a page",
    "クリックするとページやスクリプトが開くdata:等のリンク",
);
pub(in crate::scan) const LINK_PORT: Sign =
    sign("LINK_PORT", Phishing, 500, "A link to an unusual port", "通常でないポートへのリンク");
pub(in crate::scan) const LINK_FREE_HOSTING: Sign = sign(
    "LINK_FREE_HOSTING",
    Phishing,
    600,
    "A link to a page where anybody gets one",
    "誰でも作れる無料ホスティングのページへのリンク",
);
pub(in crate::scan) const LINK_FORM: Sign = sign(
    "LINK_FORM",
    Phishing,
    400,
    "A link to a form that anybody can make",
    "誰でも作れるフォームへのリンク",
);
pub(in crate::scan) const LINK_CHEAP_SUFFIX: Sign = sign(
    "LINK_CHEAP_SUFFIX",
    Spam,
    500,
    "A link below a top-level domain of throw-away names",
    "使い捨てに多いトップレベルドメインへのリンク",
);
pub(in crate::scan) const LINK_RANDOM_HOST: Sign = sign(
    "LINK_RANDOM_HOST",
    Spam,
    500,
    "A link to a name of random letters",
    "無作為な文字列のドメインへのリンク",
);
pub(in crate::scan) const LINK_SHOWN_ELSEWHERE: Sign = sign(
    "LINK_SHOWN_ELSEWHERE",
    Phishing,
    300,
    "A link that shows another domain than it leads to",
    "表示と異なるドメインへのリンク",
);
pub(in crate::scan) const LINK_SHOWN_BRAND: Sign = sign(
    "LINK_SHOWN_BRAND",
    Phishing,
    2_200,
    "A link that shows a brand's domain and leads elsewhere",
    "有名企業のドメインを表示し別の場所へ導くリンク",
);
pub(in crate::scan) const LINK_EMBEDS_BRAND: Sign = sign(
    "LINK_EMBEDS_BRAND",
    Phishing,
    3_000,
    "A link to a host that begins with a brand's whole domain",
    "有名企業のドメインで始まる別のホストへのリンク",
);
pub(in crate::scan) const LINK_NAMES_BRAND: Sign = sign(
    "LINK_NAMES_BRAND",
    Phishing,
    1_500,
    "A link to a foreign domain with a brand's name in it",
    "有名企業の名を含む無関係なドメインへのリンク",
);
pub(in crate::scan) const LINK_LOOKS_LIKE_BRAND: Sign = sign(
    "LINK_LOOKS_LIKE_BRAND",
    Phishing,
    3_000,
    "A link to a domain that looks like a brand's",
    "有名企業に見せかけたドメインへのリンク",
);
pub(in crate::scan) const LINK_NEAR_BRAND: Sign = sign(
    "LINK_NEAR_BRAND",
    Phishing,
    1_200,
    "A link to a domain one letter off a brand's",
    "有名企業と一文字違いのドメインへのリンク",
);
pub(in crate::scan) const LINK_MIXED_SCRIPTS: Sign = sign(
    "LINK_MIXED_SCRIPTS",
    Phishing,
    2_000,
    "A link to a name that mixes scripts",
    "文字体系を混ぜたドメインへのリンク",
);
pub(in crate::scan) const LINK_TO_RECIPIENT: Sign = sign(
    "LINK_TO_RECIPIENT",
    Phishing,
    2_000,
    "A link that carries the reader's address behind a #",
    "#の後に受信者のアドレスを含むリンク",
);
pub(in crate::scan) const LINK_DEFANGED: Sign = sign(
    "LINK_DEFANGED",
    Spam,
    300,
    "A link that was made unclickable",
    "クリックできない形に崩されたリンク",
);
pub(in crate::scan) const FORM_IN_MAIL: Sign =
    sign("FORM_IN_MAIL", Phishing, 200, "A form inside of the mail", "メール内の入力フォーム");
pub(in crate::scan) const PASSWORD_IN_MAIL: Sign = sign(
    "PASSWORD_IN_MAIL",
    Phishing,
    4_000,
    "A field for a password inside of the mail",
    "メール内のパスワード入力欄",
);
pub(in crate::scan) const PASSWORD_IN_ATTACHMENT: Sign = sign(
    "PASSWORD_IN_ATTACHMENT",
    Phishing,
    4_500,
    "A field for a password in an attached page",
    "添付HTMLのパスワード入力欄",
);
pub(in crate::scan) const HTML_ATTACHED: Sign =
    sign("HTML_ATTACHED", Phishing, 500, "An attached page", "添付されたHTMLファイル");
pub(in crate::scan) const HTML_SCRIPT_ATTACHED: Sign = sign(
    "HTML_SCRIPT_ATTACHED",
    Phishing,
    2_000,
    "An attached page with scripts",
    "スクリプトを含む添付HTML",
);
pub(in crate::scan) const LINKS_ELSEWHERE: Sign = sign(
    "LINKS_ELSEWHERE",
    Spam,
    1_200,
    "No link leads to who sent the mail, or to who sent it for him",
    "送信元や配信業者に向かうリンクが一つもない",
);
pub(in crate::scan) const LINKS_ELSEWHERE_UNSIGNED: Sign = sign(
    "LINKS_ELSEWHERE_UNSIGNED",
    Spam,
    1_500,
    "Such links, and nobody signed the mail",
    "無関係なリンクばかりで電子署名もない",
);
pub(in crate::scan) const LINKS_ALL_HIDDEN: Sign = sign(
    "LINKS_ALL_HIDDEN",
    Spam,
    500,
    "All links go through short addresses or free hosting",
    "すべてのリンクが短縮URLか無料サイト経由",
);
