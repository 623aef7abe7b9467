//! The board file's rules for single classes, resolved once the model, and so its labels, are known.
//!
//! A rule names a class by its whole label or by what a display shows of it, exactly; or as `class 17`, which names any class by
//! its number. A name that matches no class, or two, is a fault in the board file.
//!
//! A group of merged classes takes the place, and in JSON the number, of the first class in its list; the other members are no
//! classes any more.

use super::{ClassRule, ClassRules};
use crate::model::labels;
use crate::toml_file::nearest;
use std::collections::{BTreeMap, HashMap};

/// As many classes fit into a message.
const FEW: usize = 12;

/// Classes that have rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classes {
    /// A member of a group, and the group's first class, which it is added to. Sorted.
    merged: Vec<(usize, usize)>,
    /// Whether each class has a probability of its own (the network ends in Sigmoid): a group then has the largest of its members',
    /// not their sum.
    independent: bool,
    /// A group's new name, by its first class.
    names: Vec<(usize, String)>,
    /// Sorted.
    ignored: Vec<usize>,
    /// Sorted by class.
    rules: Vec<(usize, ClassRule)>,
}

impl Classes {
    /// Resolves `rules` for classes with these labels; returns every fault, one line each.
    pub fn resolve(rules: &ClassRules, labels: &[String]) -> Result<Self, Vec<String>> {
        if rules.is_empty() {
            return Ok(Self::default());
        }
        let mut resolver = Resolver::new(labels);
        let mut classes = Self::default();
        for (name, members) in &rules.merge {
            resolver.merge(&mut classes, name, members);
        }
        for name in &rules.ignore {
            let class = resolver.class("decide.ignore", name);
            classes.ignored.extend(class);
        }
        for (name, rule) in &rules.rules {
            let class = resolver.class("decide.class", name);
            classes.rules.extend(class.map(|class| (class, *rule)));
        }
        classes.merged.sort_unstable();
        classes.ignored.sort_unstable();
        classes.rules.sort_by_key(|(class, _)| *class);
        let doubles = classes.rules.windows(2).filter(|two| two[0].0 == two[1].0);
        for two in doubles {
            let label = &labels[two[0].0];
            let fault = format!("decide.class: \"{label}\" has two tables, under two of its names");
            resolver.faults.push(fault);
        }
        if resolver.faults.is_empty() {
            Ok(classes)
        } else {
            Err(resolver.faults)
        }
    }

    /// The labels with the groups' new names in place.
    pub fn renamed(&self, labels: &[String]) -> Vec<String> {
        let mut labels = labels.to_vec();
        for (class, name) in &self.names {
            labels[*class].clone_from(name);
        }
        labels
    }

    /// The labels as a display shows them.
    pub fn shown(&self, labels: &[String]) -> Vec<String> {
        self.renamed(&labels::shown(labels))
    }

    /// The same for a network whose classes exclude each other in no way.
    pub fn independent(self) -> Self {
        Self {
            independent: true,
            ..self
        }
    }

    /// Whether there are merged classes.
    pub fn has_groups(&self) -> bool {
        !self.merged.is_empty()
    }

    /// These rules for single classes, if nothing else has changed.
    pub fn with_rules_of(&self, new: &Self) -> Option<Self> {
        let changed = Self {
            rules: new.rules.clone(),
            independent: new.independent,
            ..self.clone()
        };
        (changed == *new).then_some(Self {
            independent: self.independent,
            ..changed
        })
    }

    /// Adds up the probabilities of merged classes, in place; of independent ones it takes the largest.
    pub(super) fn merge(&self, probabilities: &mut [f32]) {
        for &(class, first) in &self.merged {
            let part = std::mem::take(&mut probabilities[class]);
            let whole = &mut probabilities[first];
            *whole = match self.independent {
                true => whole.max(part),
                // Rounding may take the sum slightly above 1.
                false => (*whole + part).min(1.0),
            };
        }
    }

    /// Whether the class is a part of another one.
    pub(super) fn is_merged(&self, class: usize) -> bool {
        let at = |&(member, _): &(usize, usize)| member.cmp(&class);
        self.merged.binary_search_by(at).is_ok()
    }

    pub(super) fn is_ignored(&self, class: usize) -> bool {
        self.ignored.binary_search(&class).is_ok()
    }

    pub(super) fn rule(&self, class: usize) -> Option<ClassRule> {
        let at = self.rules.binary_search_by_key(&class, |(class, _)| *class);
        at.ok().map(|at| self.rules[at].1)
    }
}

/// Looks up names and collects faults.
struct Resolver<'a> {
    labels: &'a [String],
    /// The classes with each name.
    by_name: HashMap<String, Vec<usize>>,
    /// The group of each merged class.
    group_of: BTreeMap<usize, String>,
    /// The first class of each group.
    groups: BTreeMap<String, usize>,
    faults: Vec<String>,
}

impl<'a> Resolver<'a> {
    fn new(labels: &'a [String]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let shown = labels::shown(labels);
        for (class, (label, shown)) in labels.iter().zip(shown).enumerate() {
            for name in [labels::composed(label), shown] {
                let classes = by_name.entry(name).or_default();
                if classes.last() != Some(&class) {
                    classes.push(class);
                }
            }
        }
        Self {
            labels,
            by_name,
            group_of: BTreeMap::new(),
            groups: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// The one class of the model with this label.
    fn labelled(&mut self, key: &str, name: &str) -> Option<usize> {
        match self.by_name.get(name).map(Vec::as_slice) {
            Some([class]) => return Some(*class),
            Some(several) => {
                let numbers: Vec<_> = several.iter().map(|n| format!("`class {n}`")).collect();
                let count = several.len();
                let numbers = numbers.join(", ");
                self.faults.push(format!(
                    "{key}: \"{name}\" is the label of {count} classes: write one of {numbers}"
                ));
                return None;
            }
            None => {}
        }
        let number = name.strip_prefix("class ").and_then(|n| n.parse().ok());
        if let Some(class) = number.filter(|class| *class < self.labels.len()) {
            return Some(class);
        }
        let known = self.by_name.keys().chain(self.groups.keys());
        let mut known: Vec<_> = known.map(String::as_str).collect();
        // Sorted, so that equally near names always give the same suggestion.
        known.sort_unstable();
        let near = nearest(name, known)
            .map_or_else(String::new, |near| format!(", did you mean \"{near}\"?"));
        let hint = match self.labels.len() {
            0..=FEW => format!("it has: {}", self.labels.join(", ")),
            _ => "the whole label, or what a display shows of it".to_owned(),
        };
        self.faults.push(format!(
            "{key}: \"{name}\" is not a class of the model{near} ({hint})"
        ));
        None
    }

    /// The class with this name: a group's first one, or one in no group.
    fn class(&mut self, key: &str, name: &str) -> Option<usize> {
        if let Some(&first) = self.groups.get(name) {
            return Some(first);
        }
        let class = self.labelled(key, name)?;
        if let Some(group) = self.group_of.get(&class) {
            let fault = format!("{key}: \"{name}\" is merged into \"{group}\": use that name");
            self.faults.push(fault);
            return None;
        }
        Some(class)
    }

    fn merge(&mut self, classes: &mut Classes, name: &str, members: &[String]) {
        let key = format!("decide.merge.\"{name}\"");
        let mut first = None;
        for member in members {
            let Some(class) = self.labelled(&key, member) else {
                continue;
            };
            if let Some(other) = self.group_of.insert(class, name.to_owned()) {
                let fault = format!("{key}: \"{member}\" is already merged into \"{other}\"");
                self.faults.push(fault);
                continue;
            }
            match first {
                None => first = Some(class),
                Some(first) => classes.merged.push((class, first)),
            }
        }
        let same_name = self.by_name.get(name).into_iter().flatten();
        if let Some(other) = same_name
            .copied()
            .find(|class| self.group_of.get(class).is_none_or(|group| group != name))
        {
            self.faults.push(format!(
                "{key}: class {other} has this label too: add it to the list, or choose another name"
            ));
        }
        if let Some(first) = first {
            self.groups.insert(name.to_owned(), first);
            classes.names.push((first, name.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    const RULE: ClassRule = ClassRule {
        enter: 0.8,
        leave: 0.4,
        frames_in_a_row: 2,
        hold: Duration::ZERO,
    };

    fn labels() -> Vec<String> {
        let labels = ["tabby", "tiger cat", "crane", "crane", "Ka\u{308}se", "dog"];
        labels.map(str::to_owned).to_vec()
    }

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn rules(merge: &[(&str, &[&str])], ignore: &[&str], class: &[&str]) -> ClassRules {
        ClassRules {
            rules: class
                .iter()
                .map(|name| ((*name).to_owned(), RULE))
                .collect(),
            ignore: list(ignore),
            merge: merge
                .iter()
                .map(|(name, members)| ((*name).to_owned(), list(members)))
                .collect(),
        }
    }

    #[test]
    fn names_become_classes() {
        let rules = rules(
            &[("cat", &["tiger cat", "tabby"]), ("hound", &["dog"])],
            &["Käse", "hound"],
            &["cat", "class 3"],
        );
        let classes = Classes::resolve(&rules, &labels()).unwrap();
        assert_eq!(classes.merged, [(0, 1)]);
        assert_eq!(classes.ignored, [4, 5]);
        assert_eq!((classes.rule(1), classes.rule(3)), (Some(RULE), Some(RULE)));
        assert_eq!(classes.rule(0), None);
        assert_eq!(classes.renamed(&labels())[1], "cat");
        assert_eq!(classes.shown(&labels())[4..], ["Käse", "hound"]);
        let mut probabilities = [0.25, 0.5, 0.125, 0.0, 0.0, 0.125];
        classes.merge(&mut probabilities);
        assert_eq!(probabilities, [0.0, 0.75, 0.125, 0.0, 0.0, 0.125]);
    }

    #[test]
    fn imagenets_labels_can_be_named_in_full_or_as_shown() {
        let model = crate::model::Model::find("efficientnet-lite0", None).unwrap();
        for name in ["tabby", "tabby, tabby cat"] {
            let rules = rules(&[], &[name], &[]);
            let classes = Classes::resolve(&rules, &model.labels).unwrap();
            assert_eq!(classes.ignored, [281], "{name}");
        }
        let twice = Classes::resolve(
            &rules(&[], &[], &["tabby", "tabby, tabby cat"]),
            &model.labels,
        );
        let fault = "decide.class: \"tabby, tabby cat\" has two tables, under two of its names";
        assert_eq!(twice.unwrap_err(), [fault]);
    }

    #[test]
    fn names_that_match_no_class_or_two_are_faults() {
        let cases: [(ClassRules, &str); 9] = [
            (
                rules(&[], &["tabbby"], &[]),
                "decide.ignore: \"tabbby\" is not a class of the model, did you mean \"tabby\"? (it has: tabby, tiger cat, crane, crane, Ka\u{308}se, dog)",
            ),
            (
                rules(&[], &[], &["class 6"]),
                "decide.class: \"class 6\" is not a class of the model (it has: tabby, tiger cat, crane, crane, Ka\u{308}se, dog)",
            ),
            (
                rules(&[], &["crane"], &[]),
                "decide.ignore: \"crane\" is the label of 2 classes: write one of `class 2`, `class 3`",
            ),
            (
                rules(&[("cat", &["tabby", "tabby"])], &[], &[]),
                "decide.merge.\"cat\": \"tabby\" is already merged into \"cat\"",
            ),
            (
                rules(&[("a", &["tabby"]), ("b", &["class 0"])], &[], &[]),
                "decide.merge.\"b\": \"class 0\" is already merged into \"a\"",
            ),
            (
                rules(&[("dog", &["tabby"])], &[], &[]),
                "decide.merge.\"dog\": class 5 has this label too: add it to the list, or choose another name",
            ),
            (
                rules(&[("cat", &["tabby", "tiger cat"])], &["tiger cat"], &[]),
                "decide.ignore: \"tiger cat\" is merged into \"cat\": use that name",
            ),
            (
                rules(&[("cat", &["tabby"])], &[], &["tabby"]),
                "decide.class: \"tabby\" is merged into \"cat\": use that name",
            ),
            (
                rules(&[("kitten", &["tabby"])], &["kiten"], &[]),
                "decide.ignore: \"kiten\" is not a class of the model, did you mean \"kitten\"? (it has: tabby, tiger cat, crane, crane, Ka\u{308}se, dog)",
            ),
        ];
        for (rules, fault) in cases {
            assert_eq!(Classes::resolve(&rules, &labels()).unwrap_err(), [fault]);
        }
    }
}
