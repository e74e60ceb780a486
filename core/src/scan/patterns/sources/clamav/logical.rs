//! Logical signatures (`ldb`): `Name;Target;Expression;Sub0;Sub1;...`.
//!
//! Each subsignature becomes a sub-rule that counts; the expression over them is evaluated for each
//! body part by itself. Counts become arithmetic: `(0|1)>2,2` is
//! `(n0 + n1 > 2) && ((n0 > 0) + (n1 > 0) >= 2)`.

use super::super::super::COUNT_MAX;
use super::super::super::meta::{Expression, Operator, Step};
use super::super::super::rule::{Field, Test};
use super::super::Draft;
use super::hex::{Modifiers, anchored, before, expression};
use super::{Fault, byte_test, drafted, field_of, placed, shifted};

/// Subsignatures of one signature, as `ClamAV` bounds them.
const SUBS_MAX: usize = 64;
/// Brackets inside brackets.
const DEPTH_MAX: usize = 32;

/// Reads one line.
pub(super) fn read(line: &str, place: (u32, u32)) -> Result<Vec<Draft>, Fault> {
    let parts = split(line);
    let [(_, name), (target_at, target), (logic_at, logic), subs @ ..] = parts.as_slice() else {
        return Err(Fault::Bad(0, "expected name;target;expression;signature".into()));
    };
    if subs.is_empty() || subs.len() > SUBS_MAX {
        return Err(Fault::Bad(0, format!("expected 1 to {SUBS_MAX} subsignatures")));
    }
    match made(name, (*target_at, target), (*logic_at, logic), subs, place) {
        Ok(drafts) => Ok(drafts),
        Err(fault @ Fault::Unsupported(_)) => Ok(vec![drafted(name, Err(fault), place)?]),
        Err(bad) => Err(bad),
    }
}

/// Splits at `;`, but not inside a PCRE2 expression: only the last subsignatures may hold one, and
/// in it a semicolon is written `\x3B`, so a plain split is right.
fn split(line: &str) -> Vec<(usize, &str)> {
    let mut at = 0;
    line.split(';')
        .map(|part| {
            let here = at;
            at += part.len() + 1;
            (here, part)
        })
        .collect()
}

fn made(
    name: &str,
    (target_at, target): (usize, &str),
    (logic_at, logic): (usize, &str),
    subs: &[(usize, &str)],
    place: (u32, u32),
) -> Result<Vec<Draft>, Fault> {
    let (field, caseless, bytes) = conditions(target).map_err(|f| shifted(f, target_at))?;
    let mut drafts = Vec::new();
    let mut names = Vec::new();
    let mut triggers = Vec::new();
    for (index, (at, sub)) in subs.iter().enumerate() {
        let (test, trigger) =
            subsignature(sub, &field, caseless).map_err(|fault| shifted(fault, *at))?;
        triggers.push(trigger);
        let sub_name = format!("__{name}.{index}");
        let mut draft = drafted(&sub_name, Ok(test), place)?;
        draft.rule.sub = true;
        draft.rule.count_max = COUNT_MAX;
        names.push(sub_name);
        drafts.push(draft);
    }
    let node = read_logic(logic, &names).map_err(|fault| shifted(fault, logic_at))?;
    let node = triggered(node, &triggers, &names)?;
    let mut expression = Expression::default();
    node.write(&names, &mut expression);
    if expression.value(|_| 0.0) != 0.0 {
        return Err(Fault::Unsupported("expression that holds where nothing is found".into()));
    }
    drafts.push(drafted(name, Ok(Test::PartMeta { expression, bytes }), place)?);
    Ok(drafts)
}

fn read_logic(logic: &str, names: &[String]) -> Result<Node, Fault> {
    let mut reader = Reader { bytes: logic.as_bytes(), at: 0, names };
    let node = reader.either(0)?;
    if reader.at < logic.len() {
        return Err(Fault::Bad(reader.at, "unexpected text after expression".into()));
    }
    Ok(node)
}

/// An expression of PCRE counts only where its trigger, an expression over the other subsignatures, holds, too.
fn triggered(node: Node, triggers: &[Option<&str>], names: &[String]) -> Result<Node, Fault> {
    let of = |index: usize| triggers.get(index).copied().flatten();
    let all = |nodes: Vec<Node>| -> Result<Vec<Node>, Fault> {
        nodes.into_iter().map(|node| triggered(node, triggers, names)).collect()
    };
    Ok(match node {
        Node::Sub(index) => match of(index) {
            Some(trigger) => Node::Both(vec![read_logic(trigger, names)?, Node::Sub(index)]),
            None => Node::Sub(index),
        },
        Node::Both(nodes) => Node::Both(all(nodes)?),
        Node::Either(nodes) => Node::Either(all(nodes)?),
        Node::Counted { .. } => {
            let mut leaves = Vec::new();
            node.leaves(&mut leaves);
            match leaves.as_slice() {
                [one] => match of(*one) {
                    Some(trigger) => Node::Both(vec![read_logic(trigger, names)?, node]),
                    None => node,
                },
                leaves if leaves.iter().all(|leaf| of(*leaf).is_none()) => node,
                _ => {
                    let text = "a count over several subsignatures, one of them with a trigger";
                    return Err(Fault::Unsupported(text.into()));
                }
            }
        }
    })
}

/// `Engine:51-255,Target:0,FileSize:1-2`.
fn conditions(text: &str) -> Result<(Field, bool, (u64, u64)), Fault> {
    let mut field = None;
    let mut bytes = (0, u64::MAX);
    for condition in text.split(',') {
        let Some((key, value)) = condition.split_once(':') else {
            return Err(Fault::Bad(0, format!("`{condition}` is no condition")));
        };
        match key {
            "Engine" => {}
            "Target" => {
                let target: u32 =
                    value.parse().map_err(|_| Fault::Bad(0, format!("target `{value}`")))?;
                field = Some(field_of(target)?);
            }
            "FileSize" => {
                let (low, high) = value.split_once('-').unwrap_or((value, value));
                let number = |text: &str| {
                    text.parse::<u64>().map_err(|_| Fault::Bad(0, format!("FileSize `{value}`")))
                };
                bytes = (number(low)?, number(high)?);
            }
            other => return Err(Fault::Unsupported(format!("condition {other}"))),
        }
    }
    let (field, caseless) = field.ok_or_else(|| Fault::Bad(0, "no Target".into()))?;
    Ok((field, caseless, bytes))
}

/// The test, and for PCRE its trigger.
fn subsignature<'s>(
    text: &'s str,
    field: &Field,
    caseless: bool,
) -> Result<(Test, Option<&'s str>), Fault> {
    if text.starts_with("fuzzy_img#") {
        return Err(Fault::Unsupported("fuzzy hash of a picture".into()));
    }
    if let Some(slash) = text.find('/') {
        return pcre(text, slash, field);
    }
    if text.contains('#') {
        return Err(Fault::Unsupported("byte compare".into()));
    }
    let (text, letters) = text.split_once("::").unwrap_or((text, ""));
    let mut modifiers = Modifiers { caseless, ..Modifiers::default() };
    for letter in letters.chars() {
        match letter {
            'i' => modifiers.caseless = true,
            'w' => modifiers.wide = true,
            'a' => modifiers.ascii = true,
            'f' => modifiers.full_word = true,
            other => return Err(Fault::Bad(text.len() + 2, format!("unknown modifier {other}"))),
        }
    }
    let (offset, signature) = text.split_once(':').unwrap_or(("*", text));
    let at = text.len() - signature.len();
    let made = expression(signature, modifiers).map_err(|fault| shifted(fault, at))?;
    let (field, offset) = placed(field.clone(), offset)?;
    Ok((byte_test(field, anchored(&made, &offset)?, modifiers.caseless), None))
}

/// `[Offset:]Trigger/PCRE/[Flags]`. Without the flags `r` (rolling) and `e` (encompass) a match begins at the offset, or up to
/// its shift behind it.
fn pcre<'s>(text: &'s str, slash: usize, field: &Field) -> Result<(Test, Option<&'s str>), Fault> {
    let front = text.get(..slash).unwrap_or_default();
    let (offset, trigger) = front.rsplit_once(':').unwrap_or(("*", front));
    let (field, offset) = placed(field.clone(), offset)?;
    let rest = text.get(slash + 1..).unwrap_or_default();
    let Some(end) = rest.rfind('/') else {
        return Err(Fault::Bad(slash, "PCRE without closing /".into()));
    };
    let text = rest.get(..end).unwrap_or_default();
    // Neither alternatives nor options of the expression reach the offset, nor does its gap mind lines.
    let text = match before(&offset)?.as_str() {
        "" => text.to_owned(),
        before => format!("(?s:{before})(?:{text})"),
    };
    let mut test = byte_test(field, text, false);
    if let Test::Expression { pattern, .. } = &mut test {
        pattern.dotall = false;
        for flag in rest.get(end + 1..).unwrap_or_default().chars() {
            match flag {
                'i' => pattern.caseless = true,
                's' => pattern.dotall = true,
                'm' => pattern.multiline = true,
                'x' => pattern.extended = true,
                // Of these only what matches and how far differs, never whether.
                'g' | 'U' | 'E' => {}
                other => return Err(Fault::Unsupported(format!("PCRE flag {other}"))),
            }
        }
    }
    Ok((test, (!trigger.is_empty()).then_some(trigger)))
}

enum Node {
    Sub(usize),
    Both(Vec<Node>),
    Either(Vec<Node>),
    Counted { of: Box<Node>, operator: Operator, count: u32, distinct: Option<u32> },
}

impl Node {
    fn leaves(&self, out: &mut Vec<usize>) {
        match self {
            Self::Sub(index) => out.push(*index),
            Self::Both(nodes) | Self::Either(nodes) => nodes.iter().for_each(|n| n.leaves(out)),
            Self::Counted { of, .. } => of.leaves(out),
        }
    }

    fn write(&self, names: &[String], out: &mut Expression) {
        let name = |index: &usize| names.get(*index).map_or("", String::as_str);
        match self {
            Self::Sub(index) => out.push_name(name(index)),
            Self::Both(nodes) => write_all(nodes, names, Operator::And, out),
            Self::Either(nodes) => write_all(nodes, names, Operator::Or, out),
            Self::Counted { of, operator, count, distinct } => {
                let mut leaves = Vec::new();
                of.leaves(&mut leaves);
                for (index, leaf) in leaves.iter().enumerate() {
                    out.push_name(name(leaf));
                    if index > 0 {
                        out.push(Step::Two(Operator::Add));
                    }
                }
                out.push(Step::Number(f64::from(*count)));
                out.push(Step::Two(*operator));
                let Some(distinct) = distinct else { return };
                for (index, leaf) in leaves.iter().enumerate() {
                    out.push_name(name(leaf));
                    out.push(Step::Number(0.0));
                    out.push(Step::Two(Operator::Greater));
                    if index > 0 {
                        out.push(Step::Two(Operator::Add));
                    }
                }
                out.push(Step::Number(f64::from(*distinct)));
                out.push(Step::Two(Operator::GreaterEqual));
                out.push(Step::Two(Operator::And));
            }
        }
    }
}

fn write_all(nodes: &[Node], names: &[String], operator: Operator, out: &mut Expression) {
    for (index, node) in nodes.iter().enumerate() {
        node.write(names, out);
        if index > 0 {
            out.push(Step::Two(operator));
        }
    }
}

struct Reader<'l> {
    bytes: &'l [u8],
    at: usize,
    names: &'l [String],
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn bad<T>(&self, text: &str) -> Result<T, Fault> {
        Err(Fault::Bad(self.at, text.to_owned()))
    }

    fn either(&mut self, depth: usize) -> Result<Node, Fault> {
        let mut nodes = vec![self.both(depth)?];
        while self.peek() == b'|' {
            self.at += 1;
            nodes.push(self.both(depth)?);
        }
        Ok(Node::Either(nodes))
    }

    fn both(&mut self, depth: usize) -> Result<Node, Fault> {
        let mut nodes = vec![self.counted(depth)?];
        while self.peek() == b'&' {
            self.at += 1;
            nodes.push(self.counted(depth)?);
        }
        Ok(Node::Both(nodes))
    }

    fn counted(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth > DEPTH_MAX {
            return self.bad("brackets too deep");
        }
        let node = if self.peek() == b'(' {
            self.at += 1;
            let node = self.either(depth + 1)?;
            if self.peek() != b')' {
                return self.bad("expected `)`");
            }
            self.at += 1;
            node
        } else {
            let index = self.number()? as usize;
            if index >= self.names.len() {
                return self.bad("no subsignature of this number");
            }
            Node::Sub(index)
        };
        let operator = match self.peek() {
            b'>' => Operator::Greater,
            b'<' => Operator::Less,
            b'=' => Operator::Equal,
            _ => return Ok(node),
        };
        self.at += 1;
        let count = self.number()?;
        let mut distinct = None;
        if self.peek() == b',' {
            self.at += 1;
            distinct = Some(self.number()?);
        }
        Ok(Node::Counted { of: Box::new(node), operator, count, distinct })
    }

    fn number(&mut self) -> Result<u32, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        let text = String::from_utf8_lossy(rest.get(..digits).unwrap_or_default());
        let Ok(number) = text.parse() else { return self.bad("expected a number") };
        self.at += digits;
        Ok(number)
    }
}
