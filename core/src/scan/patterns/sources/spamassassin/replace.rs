//! The `ReplaceTags` plugin: `<A>` in a rule is replaced by the tag's expression.

use std::collections::{HashMap, HashSet};

/// Tags inside the values of tags.
const DEPTH_MAX: usize = 5;
/// Longest expression that comes of it.
const OCTETS_MAX: usize = 1024 * 1024;

/// What a rule puts around its tags.
#[derive(Default)]
struct Modifiers {
    before: String,
    between: String,
    after: String,
}

/// Tags, and the rules in which they are replaced.
#[derive(Debug)]
pub(super) struct Tags {
    tags: HashMap<String, String>,
    before: HashMap<String, String>,
    between: HashMap<String, String>,
    after: HashMap<String, String>,
    rules: HashSet<String>,
    start: String,
    end: String,
}

impl Default for Tags {
    fn default() -> Self {
        Self {
            tags: HashMap::new(),
            before: HashMap::new(),
            between: HashMap::new(),
            after: HashMap::new(),
            rules: HashSet::new(),
            start: "<".into(),
            end: ">".into(),
        }
    }
}

impl Tags {
    pub(super) fn set(&mut self, word: &str, name: &str, value: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        let map = match word {
            "replace_tag" => &mut self.tags,
            "replace_pre" => &mut self.before,
            "replace_inter" => &mut self.between,
            "replace_post" => &mut self.after,
            "replace_start" => {
                name.clone_into(&mut self.start);
                return true;
            }
            _ => {
                name.clone_into(&mut self.end);
                return true;
            }
        };
        if value.is_empty() {
            return false;
        }
        map.insert(name.to_owned(), value.to_owned());
        true
    }

    pub(super) fn add_rules<'w>(&mut self, names: impl Iterator<Item = &'w str>) {
        self.rules.extend(names.map(ToOwned::to_owned));
    }

    pub(super) fn concerns(&self, rule: &str) -> bool {
        self.rules.contains(rule)
    }

    /// The expression with tags replaced, as the plugin does it.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let before = self.take_modifier(&mut text, "pre ", &self.before);
        let between = self.take_modifier(&mut text, "inter ", &self.between);
        let after = self.take_modifier(&mut text, "post ", &self.after);
        let between = Modifiers { before, between, after };
        let mut text = self.replaced(&text, &between);
        // Tags in the values of tags; a tag in itself ends here.
        for _ in 0..DEPTH_MAX {
            let again = self.replaced(&text, &Modifiers::default());
            if again == text || again.len() > OCTETS_MAX {
                break;
            }
            text = again;
        }
        text
    }

    fn replaced(&self, text: &str, modifiers: &Modifiers) -> String {
        let mut out = String::new();
        let mut tag_before = false;
        let mut rest = text;
        while !rest.is_empty() {
            let Some((value, length)) = self.tag_at(rest) else {
                let c = rest.chars().next().unwrap_or_default();
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
                tag_before = false;
                continue;
            };
            if tag_before {
                // Between two tags that touch: the plugin's split leaves an empty piece there.
                out.push_str(&modifiers.between);
            }
            out.push_str(&modifiers.before);
            out.push_str(value);
            out.push_str(&modifiers.after);
            rest = rest.get(length..).unwrap_or_default();
            tag_before = true;
        }
        out
    }

    /// A tag at the start of `rest`: its value, and its length with marks.
    fn tag_at(&self, rest: &str) -> Option<(&str, usize)> {
        let inner = rest.strip_prefix(self.start.as_str())?;
        let (name, _) = inner.split_once(self.end.as_str())?;
        let value = self.tags.get(name)?;
        Some((value, self.start.len() + name.len() + self.end.len()))
    }

    fn take_modifier(
        &self,
        text: &mut String,
        word: &str,
        known: &HashMap<String, String>,
    ) -> String {
        let mark = format!("{}{word}", self.start);
        let Some(from) = text.find(&mark) else { return String::new() };
        let tail = text.get(from + mark.len()..).unwrap_or_default();
        let Some((name, _)) = tail.split_once(self.end.as_str()) else { return String::new() };
        let value = known.get(name.trim()).cloned().unwrap_or_default();
        let end = from + mark.len() + name.len() + self.end.len();
        text.replace_range(from..end, "");
        value
    }
}
