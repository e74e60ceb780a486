//! Signatures of container members (`cdb`): `name:type:size:FileNameREGEX:size in it:real size:encrypted:place:..`.
//!
//! A member's name is a file name like that of any part, so lines that ask for a name alone are taken; those that ask for
//! sizes, places or checksums of a member as well are refused by name.

use super::super::super::rule::{Field, Pattern, Test};
use super::super::Collected;
use super::{Fault, drafted, each_line};

/// Reads a file of them.
pub fn read_cdb(file: &str, source: u32, octets: &[u8], out: &mut Collected) {
    each_line(file, source, octets, out, |line, place| {
        // The expression may hold a colon, escaped.
        let shielded = line.replace("\\:", "\u{0}");
        let parts: Vec<&str> = shielded.split(':').collect();
        let [name, _, _, expression, rest @ ..] = parts.as_slice() else {
            return Err(Fault::Bad(0, "expected name:type:size:expression:...".into()));
        };
        let conditions = [
            ("container type", parts.get(1)),
            ("container size", parts.get(2)),
            ("size in the container", parts.get(4)),
            ("real size", parts.get(5)),
            ("encryption", parts.get(6)),
            ("place in the container", parts.get(7)),
            ("checksum", parts.get(8)),
            ("Res2", parts.get(9)),
        ];
        let asks = |value: Option<&&str>| !matches!(value, None | Some(&"*" | &""));
        let asked = conditions.iter().find(|(_, value)| asks(*value));
        let made = match asked {
            _ if rest.is_empty() => {
                return Err(Fault::Bad(line.len(), "fields are missing".into()));
            }
            _ if matches!(*expression, "*" | "") => Err(Fault::Unsupported("no name".into())),
            Some((what, _)) => Err(Fault::Unsupported(format!("condition on {what}"))),
            None => Ok(Test::Expression {
                field: Field::FileName,
                pattern: Pattern {
                    text: super::super::ascii_pattern(&expression.replace('\u{0}', "\\:")),
                    ..Pattern::default()
                },
                negated: false,
                unset: String::new(),
            }),
        };
        Ok(vec![drafted(name, made, place)?])
    });
}
