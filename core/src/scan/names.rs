//! Words for people, in both languages, for every built-in name that stands in scores and logs and is no [`super::Sign`]:
//! those have words of their own. What exactly was found follows them in a story.

/// A name, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Name in scores and logs.
    pub name: &'static str,
    /// What it says, in English.
    pub en: &'static str,
    /// What it says, in Japanese.
    pub ja: &'static str,
}

const fn named(name: &'static str, en: &'static str, ja: &'static str) -> Named {
    Named { name, en, ja }
}

/// All of them.
#[rustfmt::skip]
pub const NAMES: &[Named] = &[
    // What was wrong with the mail itself.
    // In logs of before each limit had a name of its own.
    named("SCAN_LIMIT", "a limit of the scan was reached", "検査の上限に達した"),
    named("SCAN_LIMIT_MIME", "more parts, fields or octets than are read", "メール自体の構造が上限を超えた"),
    named("SCAN_LIMIT_DEPTH", "containers nested too deep", "圧縮ファイルの入れ子が深すぎる"),
    named("SCAN_LIMIT_ENTRIES", "too many members", "圧縮ファイルのメンバーが多すぎる"),
    named("SCAN_LIMIT_BYTES", "unfolds to too many octets", "展開後の合計サイズが上限を超えた"),
    named("SCAN_LIMIT_RATIO", "unfolds to too many times its size", "展開率が上限を超えた"),
    named("SCAN_LIMIT_MEMORY", "needs too much memory to be read", "展開に必要なメモリが上限を超えた"),
    named("SCAN_LIMIT_WORK", "the same data unpacked again and again", "同じデータが繰り返し展開される"),
    named("SCAN_TIMEOUT", "not scanned within the time limit", "制限時間内に検査が終わらなかった"),
    named("SCAN_MALFORMED", "malformed beyond what can be read", "形式が壊れていて読めない"),
    named("SCAN_ENCRYPTED", "protected by a password", "パスワードで保護されている"),
    named("SCAN_NOT_READ", "of a kind that is not read here", "検査に対応していない形式"),
    named("SCAN_OPENED", "opened with a password from the mail", "メール中のパスワードで開いた"),
    named("SCAN_WORKER_DIED", "could not be scanned at all", "検査処理が異常終了した"),
    named("SCANNER_LIMIT", "a scan engine does not take it", "検査エンジンの上限を超えている"),
    named("SCANNER_FAILED", "a scan engine gave no answer", "検査エンジンから応答がない"),
    named("CHARSET_UNKNOWN", "text in an unknown charset", "未知の文字コードの本文"),
    named("AUTH_UNREADABLE", "signatures that cannot be read", "読み取れない電子署名"),
    // Attachments.
    named("ATTACH_DANGEROUS", "attachment that runs when it is opened", "開くと実行される添付ファイル"),
    named("ATTACH_DANGEROUS_IN_ARCHIVE", "file that runs when it is opened, in an archive", "開くと実行されるファイルが圧縮ファイル内にある"),
    named("ATTACH_DOUBLE_EXTENSION", "dangerous extension behind a harmless one", "無害に見せかけた二重拡張子"),
    named("ATTACH_MACRO_DOCUMENT", "document of a kind with macros", "マクロ付き文書の拡張子"),
    named("ATTACH_MACRO_CONTENT", "document with macros", "マクロを含む文書"),
    named("ATTACH_REORDERED_NAME", "file name that is written backwards", "文字の並びを逆にしたファイル名"),
    named("ATTACH_PROGRAM", "program", "実行形式のプログラム"),
    named("ATTACH_DISGUISED_PROGRAM", "program under the name of something else", "別の種類を装ったプログラム"),
    named("ATTACH_PROGRAM_UNNAMED", "program whose name does not say so", "名前が実行形式でないプログラム"),
    named("ATTACH_DISGUISED_ARCHIVE", "archive under the name of something else", "別の種類を装った圧縮ファイル"),
    named("ATTACH_DISK_IMAGE", "disk image", "ディスクイメージ"),
    named("ATTACH_TYPE_MISMATCH", "not what its name or type says", "名前や種類の表示と中身が異なる"),
    // What acts when it is opened.
    named("ACTIVE_VBA", "macros (VBA)", "マクロ（VBA）"),
    named("ACTIVE_VBA_AUTORUN", "macro that runs by itself", "自動実行されるマクロ"),
    named("ACTIVE_VBA_DANGEROUS", "macro that starts programs or loads files", "プログラムの起動やファイルの取得を行うマクロ"),
    named("ACTIVE_XLM", "Excel 4 macros", "Excel 4.0 マクロ"),
    named("ACTIVE_XLM_AUTORUN", "Excel 4 macro that runs by itself", "自動実行される Excel 4.0 マクロ"),
    named("ACTIVE_DDE", "field that starts a program (DDE)", "プログラムを起動するフィールド（DDE）"),
    named("ACTIVE_REMOTE_TEMPLATE", "template that is loaded from elsewhere", "外部から読み込まれるテンプレート"),
    named("ACTIVE_REMOTE_OBJECT", "object that is loaded from elsewhere", "外部から読み込まれるオブジェクト"),
    named("ACTIVE_EMBEDDED", "embedded object", "埋め込みオブジェクト"),
    named("ACTIVE_EMBEDDED_PROGRAM", "embedded program", "埋め込まれたプログラム"),
    named("ACTIVE_ACTIVEX", "ActiveX control", "ActiveX コントロール"),
    named("ACTIVE_EQUATION", "object of the old equation editor", "旧数式エディタのオブジェクト"),
    named("ACTIVE_RTF_UPDATE", "RTF object that loads itself", "自動更新される RTF オブジェクト"),
    named("ACTIVE_ONENOTE_FILE", "file in a OneNote page", "OneNote に埋め込まれたファイル"),
    named("ACTIVE_ODF_MACRO", "macros (OpenDocument)", "マクロ（OpenDocument）"),
    named("ACTIVE_PDF_JAVASCRIPT", "PDF with JavaScript", "JavaScript を含む PDF"),
    named("ACTIVE_PDF_LAUNCH", "PDF that starts a program", "プログラムを起動する PDF"),
    named("ACTIVE_PDF_ACTION", "PDF that acts when it is opened", "開くと動作する PDF"),
    named("ACTIVE_PDF_EMBEDDED", "file in a PDF", "PDF に埋め込まれたファイル"),
    named("ACTIVE_PDF_RICHMEDIA", "PDF with rich media", "リッチメディアを含む PDF"),
    named("ACTIVE_HTML_SCRIPT", "attached page with a script", "スクリプトを含む添付ページ"),
    named("ACTIVE_HTML_OBFUSCATED", "attached page with a disguised script", "難読化されたスクリプトを含む添付ページ"),
    named("ACTIVE_HTML_SMUGGLING", "attached page that assembles a file", "ファイルを組み立てる添付ページ（HTML スマグリング）"),
    named("ACTIVE_SVG_SCRIPT", "picture (SVG) with a script", "スクリプトを含む画像（SVG）"),
    named("ACTIVE_SHORTCUT", "shortcut", "ショートカット"),
    named("ACTIVE_SCRIPT", "script", "スクリプト"),
    named("ACTIVE_PROGRAM", "program", "プログラム"),
    // Whom the mail poses as.
    named("BEC_PERSON", "name of a protected person, foreign address", "保護対象者の名前と外部のアドレス"),
    named("BEC_FREE_MAIL", "protected person writes from free mail", "保護対象者を名乗るフリーメール"),
    named("BEC_OWN_DOMAIN", "our own domain as its author, not vouched for", "認証されていない自社ドメインの差出人"),
    named("BEC_OWN_DOMAIN_IN_NAME", "our own domain in the name of another", "表示名に自社ドメインを含む外部の差出人"),
    named("BEC_LOOK_ALIKE", "domain that passes for a known one", "既知のドメインに似せたドメイン"),
    named("BEC_REPLY_TO", "answers go elsewhere", "返信先が別の組織"),
    named("BEC_FIRST_CONTACT", "nothing good came from this client lately", "最近やり取りのない接続元"),
    named("BRAND_FORGED", "in the name of a brand, not vouched for", "認証されていないブランド名義のメール"),
    named("BRAND_UNSIGNED", "address of a brand, neither a link nor a signature of it", "有名企業のアドレスだが、リンクも電子署名もその企業のものではない"),
    named("BRAND_FORGED_LINKS", "and its links lead elsewhere", "リンク先もそのブランドのものではない"),
    named("BRAND_LISTED", "in the name of a protected brand", "保護対象ブランドを名乗るメール"),
    named("BRAND_LISTED_LINKS", "and its links lead elsewhere", "リンク先もそのブランドのものではない"),
    named("LINK_LOOKS_LIKE_OWN", "link to a domain that passes for ours", "自社に似せたドメインへのリンク"),
    named("LINK_SHOWS_OWN", "link that shows our domain and leads elsewhere", "自社ドメインを表示し別のサイトへ導くリンク"),
    // What it is like.
    named("CLASSIFIER_SPAM_99", "the classifier: spam, 99 %", "学習型判定: 迷惑メール 99 %"),
    named("CLASSIFIER_SPAM_95", "the classifier: spam, 95 %", "学習型判定: 迷惑メール 95 %"),
    named("CLASSIFIER_SPAM_80", "the classifier: spam, 80 %", "学習型判定: 迷惑メール 80 %"),
    named("CLASSIFIER_SPAM_50", "the classifier: rather spam", "学習型判定: どちらかといえば迷惑メール"),
    named("CLASSIFIER_HAM_50", "the classifier: rather not spam", "学習型判定: どちらかといえば正常"),
    named("CLASSIFIER_HAM_20", "the classifier: spam, 20 %", "学習型判定: 迷惑メール 20 %"),
    named("CLASSIFIER_HAM_05", "the classifier: spam, 5 %", "学習型判定: 迷惑メール 5 %"),
    named("TRAINED_SPAM", "like a mail that was reported as spam", "迷惑メールとして報告されたメールに類似"),
    named("TRAINED_HAM", "like a mail that was reported as not spam", "正常と報告されたメールに類似"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::SIGNS;

    #[test]
    fn every_name_is_there_once_with_words_in_both_languages() {
        let signs = SIGNS.iter().map(|sign| sign.name);
        let mut all: Vec<&str> = NAMES.iter().map(|one| one.name).chain(signs).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        for one in NAMES {
            assert!(one.en.is_ascii() && !one.ja.is_ascii() && !one.en.is_empty(), "{one:?}");
        }
    }
}
