//! Expressions over other rules: `meta` rules, logical signatures, `if` lines.
//!
//! Kept in reverse Polish order: evaluation needs a stack and no recursion, so that a payload can
//! not make it go deep.

use serde::{Deserialize, Serialize};

use super::rule::RuleIndex;

/// Brackets inside brackets in one expression.
const DEPTH_MAX: usize = 100;

/// One step of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Pushes the hits of a name (index into the expression's names).
    Name(u32),
    /// Pushes a number.
    Number(f64),
    /// `!`
    Not,
    /// `-` before a value.
    Negate,
    /// Takes two values, pushes one.
    Two(Operator),
}

/// Operators that take two values; comparisons and logic give 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; by zero: 0.
    Divide,
}

impl Operator {
    fn of(token: &str) -> Option<(Self, u8)> {
        Some(match token {
            "||" => (Self::Or, 1),
            "&&" => (Self::And, 2),
            "==" => (Self::Equal, 3),
            "!=" => (Self::NotEqual, 3),
            "<" => (Self::Less, 4),
            "<=" => (Self::LessEqual, 4),
            ">" => (Self::Greater, 4),
            ">=" => (Self::GreaterEqual, 4),
            "+" => (Self::Add, 5),
            "-" => (Self::Subtract, 5),
            "*" => (Self::Multiply, 6),
            "/" => (Self::Divide, 6),
            _ => return None,
        })
    }

    fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |yes: bool| if yes { 1.0 } else { 0.0 };
        match self {
            Self::Or => truth(is_true(left) || is_true(right)),
            Self::And => truth(is_true(left) && is_true(right)),
            Self::Equal => truth((left - right).abs() < f64::EPSILON),
            Self::NotEqual => truth((left - right).abs() >= f64::EPSILON),
            Self::Less => truth(left < right),
            Self::LessEqual => truth(left <= right),
            Self::Greater => truth(left > right),
            Self::GreaterEqual => truth(left >= right),
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => {
                if is_true(right) {
                    left / right
                } else {
                    0.0
                }
            }
        }
    }
}

/// Anything but 0.
fn is_true(value: f64) -> bool {
    value.abs() > f64::EPSILON
}

/// An expression in reverse Polish order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    /// The steps.
    pub steps: Vec<Step>,
    /// Names, as [`Step::Name`] counts them; emptied once they are resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The rules behind the names; `None` counts as never hit.
    pub rules: Vec<Option<RuleIndex>>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// Column (octets, from 0) and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let tokens = tokens(text)?;
        let mut reader = Reader { tokens: &tokens, at: 0, end: text.len(), out: Self::default() };
        reader.expression(0, 0)?;
        match reader.tokens.get(reader.at) {
            None => Ok(reader.out),
            Some((column, token)) => Err((*column, format!("unexpected `{token}`"))),
        }
    }

    /// Its value; `value_of` gives a name's hits by its index.
    pub fn value(&self, value_of: impl Fn(u32) -> f64) -> f64 {
        let mut stack: smallvec::SmallVec<[f64; 16]> = smallvec::SmallVec::new();
        for step in &self.steps {
            match *step {
                Step::Name(index) => stack.push(value_of(index)),
                Step::Number(number) => stack.push(number),
                Step::Not => {
                    let value = stack.pop().unwrap_or(0.0);
                    stack.push(if is_true(value) { 0.0 } else { 1.0 });
                }
                Step::Negate => {
                    let value = stack.pop().unwrap_or(0.0);
                    stack.push(-value);
                }
                Step::Two(operator) => {
                    let right = stack.pop().unwrap_or(0.0);
                    let left = stack.pop().unwrap_or(0.0);
                    stack.push(operator.apply(left, right));
                }
            }
        }
        stack.pop().unwrap_or(0.0)
    }

    /// If it is true; `hits_of` gives a rule's hits.
    pub fn holds(&self, hits_of: impl Fn(RuleIndex) -> u32) -> bool {
        is_true(self.value(|name| {
            let rule = self.rules.get(name as usize).copied().flatten();
            rule.map_or(0.0, |rule| f64::from(hits_of(rule)))
        }))
    }

    /// Rules of which one must hit before it can be true, as few and as rarely named ones as can be told (`named`: in how
    /// many expressions a rule is); `None` if it can be true where none does.
    pub(super) fn triggers(&self, named: impl Fn(RuleIndex) -> usize) -> Option<Vec<RuleIndex>> {
        let weight = |rules: &[RuleIndex]| rules.iter().map(|rule| named(*rule)).sum::<usize>();
        // Of each value on the stack: what must hit before it is not 0, and the number that it is.
        let mut stack: Vec<(Option<Vec<RuleIndex>>, Option<f64>)> = Vec::new();
        for step in &self.steps {
            let value = match *step {
                Step::Name(name) => {
                    let rule = self.rules.get(name as usize).copied().flatten();
                    (Some(rule.into_iter().collect()), None)
                }
                Step::Number(number) => ((!is_true(number)).then(Vec::new), Some(number)),
                Step::Not => {
                    stack.pop();
                    (None, None)
                }
                Step::Negate => (stack.pop().and_then(|(rules, _)| rules), None),
                Step::Two(operator) => {
                    let (right, right_number) = stack.pop().unwrap_or_default();
                    let (left, left_number) = stack.pop().unwrap_or_default();
                    let either = |one: Option<Vec<RuleIndex>>, other: Option<Vec<RuleIndex>>| {
                        let (mut all, other) = one.zip(other)?;
                        all.extend(other);
                        all.sort_unstable();
                        all.dedup();
                        Some(all)
                    };
                    let rules = match operator {
                        Operator::And | Operator::Multiply => {
                            let both = [left, right].into_iter().flatten();
                            both.min_by_key(|rules| weight(rules))
                        }
                        Operator::Or | Operator::Add | Operator::Subtract => either(left, right),
                        Operator::Divide => left,
                        Operator::Greater if right_number.is_some_and(|n| n >= 0.0) => left,
                        Operator::GreaterEqual if right_number.is_some_and(|n| n > 0.0) => left,
                        Operator::Less if left_number.is_some_and(|n| n >= 0.0) => right,
                        Operator::LessEqual if left_number.is_some_and(|n| n > 0.0) => right,
                        _ => None,
                    };
                    (rules, None)
                }
            };
            stack.push(value);
        }
        stack.pop()?.0
    }

    /// Appends a step.
    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Appends a name.
    pub(super) fn push_name(&mut self, name: &str) {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.steps.push(Step::Name(u32::try_from(index).unwrap_or(u32::MAX)));
    }
}

type Token<'t> = (usize, &'t str);

fn tokens(text: &str) -> Result<Vec<Token<'_>>, (usize, String)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'.' || c == b':';
        let length = match byte {
            b' ' | b'\t' => {
                at += 1;
                continue;
            }
            c if word(c) => bytes.iter().skip(at).take_while(|c| word(**c)).count(),
            b'(' | b')' | b'+' | b'*' | b'/' | b'-' => 1,
            b'&' | b'|' => 2,
            b'=' | b'!' | b'<' | b'>' => 1 + usize::from(bytes.get(at + 1) == Some(&b'=')),
            _ => 1,
        };
        let token = text.get(at..at + length).ok_or_else(|| (at, "unexpected end".to_owned()))?;
        let known = Operator::of(token).is_some() || matches!(token, "(" | ")" | "!");
        if !known && !token.bytes().all(word) {
            return Err((at, format!("unexpected `{token}`")));
        }
        out.push((at, token));
        at += length;
    }
    Ok(out)
}

struct Reader<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    end: usize,
    out: Expression,
}

impl Reader<'_> {
    /// Reads operators that bind tighter than `above`.
    fn expression(&mut self, above: u8, depth: usize) -> Result<(), (usize, String)> {
        if depth > DEPTH_MAX {
            return Err((self.end, format!("brackets deeper than {DEPTH_MAX}")));
        }
        self.value(depth)?;
        while let Some((_, token)) = self.tokens.get(self.at) {
            let Some((operator, level)) = Operator::of(token) else { break };
            if level <= above {
                break;
            }
            self.at += 1;
            self.expression(level, depth + 1)?;
            self.out.push(Step::Two(operator));
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), (usize, String)> {
        if depth > DEPTH_MAX {
            return Err((self.end, format!("brackets deeper than {DEPTH_MAX}")));
        }
        let Some(&(column, token)) = self.tokens.get(self.at) else {
            return Err((self.end, "expression ends too early".into()));
        };
        self.at += 1;
        match token {
            "!" => {
                self.value(depth + 1)?;
                self.out.push(Step::Not);
            }
            "-" => {
                self.value(depth + 1)?;
                self.out.push(Step::Negate);
            }
            "(" => {
                self.expression(0, depth + 1)?;
                match self.tokens.get(self.at) {
                    Some((_, ")")) => self.at += 1,
                    Some((column, other)) => {
                        return Err((*column, format!("expected `)`, found `{other}`")));
                    }
                    None => return Err((self.end, "missing `)`".into())),
                }
            }
            word if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                let number: f64 =
                    word.parse().map_err(|_| (column, format!("`{word}` is no number")))?;
                self.out.push(Step::Number(number));
            }
            word if Operator::of(word).is_none() && word != ")" => {
                if matches!(self.tokens.get(self.at), Some((_, "("))) {
                    return Err((column, format!("function `{word}` is not taken")));
                }
                self.out.push_name(word);
            }
            other => return Err((column, format!("unexpected `{other}`"))),
        }
        Ok(())
    }
}
