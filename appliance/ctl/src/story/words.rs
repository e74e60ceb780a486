//! Words of decisions in the language of a story: what an action is called, and which condition of a rule was met. The log has them
//! in English, for whoever searches it.

use super::Lang;

/// An action, by its key.
pub(crate) fn action(lang: Lang, key: &str) -> String {
    let ja = match key {
        "deliver" | "accept" => "配送",
        "header" => "ヘッダ追加",
        "stamp" => "本文への注記",
        "tag" => "件名への印",
        "clean" => "該当部分の除去",
        "quarantine" => "隔離",
        "quarantine_hidden" => "隔離（受信者に非表示）",
        "reject" => "受信拒否",
        "drop" => "破棄",
        other => other,
    };
    lang.of(key, ja)
}

/// What conditions begin with, the longer ones of two first.
const CONDITIONS: [(&str, &str); 28] = [
    ("points ", "点数 "),
    ("size ", "サイズ "),
    ("recipients ", "宛先数 "),
    ("attachments ", "添付ファイル数 "),
    ("blank envelope sender", "エンベロープ送信者が空"),
    ("envelope sender not blank", "エンベロープ送信者が空でない"),
    ("header sender differs from envelope sender", "ヘッダとエンベロープの送信者が異なる"),
    ("header sender does not differ from envelope sender", "ヘッダとエンベロープの送信者が同じ"),
    ("header sender differs from Reply-To", "送信者と返信先が異なる"),
    ("header sender does not differ from Reply-To", "送信者と返信先が同じ"),
    ("sender in the list", "送信者が一覧にある"),
    ("client in ", "接続元の範囲 "),
    ("time of day", "曜日・時刻"),
    ("attachment name ", "添付ファイル名 "),
    ("attachment MIME type ", "添付ファイルのMIMEタイプ "),
    ("attachment true type ", "添付ファイルの実際の形式 "),
    ("attachment type ", "添付ファイルの形式 "),
    ("attachment size ", "添付ファイルのサイズ "),
    ("attachment password-protected", "パスワード付きの添付ファイル"),
    ("no attachment password-protected", "パスワード付きの添付ファイルなし"),
    ("attachment with active content", "動作する内容を含む添付ファイル"),
    ("no attachment with active content", "動作する内容を含む添付ファイルなし"),
    ("high-risk attachment", "危険な添付ファイル"),
    ("no high-risk attachment", "危険な添付ファイルなし"),
    ("blank subject", "件名が空白"),
    ("subject not blank", "件名が空白でない"),
    ("blank body", "本文が空白"),
    ("body not blank", "本文が空白でない"),
];

/// What of a mail fulfilled the conditions of a rule, as the policy writes it: pieces with "; " between them.
pub(crate) fn condition(lang: Lang, told: &str) -> String {
    if lang == Lang::En {
        return told.to_owned();
    }
    let piece = |piece: &str| {
        let known = |(en, ja): &(&str, &str)| {
            let rest = piece.strip_prefix(en)?;
            // A word that goes on is another one.
            let ends = en.ends_with(' ') || rest.is_empty() || rest.starts_with(' ');
            ends.then(|| format!("{ja}{rest}"))
        };
        CONDITIONS.iter().find_map(known).unwrap_or_else(|| piece.to_owned())
    };
    told.split("; ").map(piece).collect::<Vec<_>>().join("、")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_met_is_said_in_japanese_and_what_a_sender_wrote_is_not_touched() {
        for (told, ja) in [
            ("recipients 51 > 50; blank subject", "宛先数 51 > 50、件名が空白"),
            ("attachment name a.exe", "添付ファイル名 a.exe"),
            ("attachment password-protected 見積.zip", "パスワード付きの添付ファイル 見積.zip"),
            ("blank subjects", "blank subjects"),
            ("header X-Mailer: size 3", "header X-Mailer: size 3"),
        ] {
            assert_eq!(condition(Lang::Ja, told), ja);
            assert_eq!(condition(Lang::En, told), told);
        }
        assert_eq!(action(Lang::Ja, "quarantine"), "隔離");
        assert_eq!(action(Lang::En, "quarantine"), "quarantine");
    }
}
