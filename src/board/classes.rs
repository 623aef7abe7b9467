//! What `[decide]` says of single classes, by name: thresholds of their own, classes that are ignored, classes that are merged.
//! Which class a name means is known with the model, see [`crate::decide::Classes`].

use super::DecideConfig;
use crate::limits;
use crate::model::labels::composed;
use crate::toml_file::Table;
use std::time::Duration;

/// When a class is decided and left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassRule {
    /// It is decided when its smoothed probability is at least this.
    pub enter: f32,
    /// Once decided, it is kept while its smoothed probability is at least this (<= `enter`).
    pub leave: f32,
    /// It must be the best one in this many frames in a row before it is decided.
    pub frames_in_a_row: u32,
    /// Once decided, it stays at least this long.
    pub hold: Duration,
}

/// What is said of classes by name, in composed letters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassRules {
    /// `[decide.class."NAME"]`
    pub rules: Vec<(String, ClassRule)>,
    /// `ignore`: never decided, whatever their probability.
    pub ignore: Vec<String>,
    /// `[decide.merge]`: the new name, and the classes that it stands for.
    pub merge: Vec<(String, Vec<String>)>,
}

impl ClassRules {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl DecideConfig {
    /// What holds for a class of which nothing is said.
    pub fn rule(&self) -> ClassRule {
        ClassRule {
            enter: self.enter,
            leave: self.leave,
            frames_in_a_row: self.frames_in_a_row,
            hold: self.hold,
        }
    }
}

/// Reads `class`, `ignore` and `merge` of `[decide]`; `others` holds for what a class's table does not say.
pub(super) fn class_rules(decide: &mut Table<'_, '_>, others: ClassRule) -> ClassRules {
    let ignore = decide.texts("ignore").unwrap_or_default();
    let mut rules = Vec::new();
    if let Some(mut classes) = decide.table("class") {
        for name in classes.names() {
            check_name(&classes, &name);
            if let Some(mut class) = classes.table(&name) {
                rules.push((composed(&name), rule(&mut class, others)));
            }
        }
    }
    let mut merge = Vec::new();
    if let Some(mut groups) = decide.table("merge") {
        for name in groups.names() {
            check_name(&groups, &name);
            let members = groups.texts(&name).unwrap_or_default();
            if members.is_empty() {
                groups.fault(&name, "needs a list of one or more classes, by name");
            }
            let members = members.iter().map(|member| composed(member)).collect();
            merge.push((composed(&name), members));
        }
    }
    ClassRules {
        rules,
        ignore: ignore.iter().map(|name| composed(name)).collect(),
        merge,
    }
}

/// A name that cannot be a label is a fault.
fn check_name(table: &Table<'_, '_>, name: &str) {
    if name.trim().is_empty() || name.contains(char::is_control) {
        table.fault(name, "needs the name of a class, on one line");
    }
}

/// `enter`, `leave`, `frames_in_a_row` and `hold_ms`, of `[decide]` itself or of a class; `others` holds for what is not there.
pub(super) fn rule(class: &mut Table<'_, '_>, others: ClassRule) -> ClassRule {
    let enter = class
        .number("enter", limits::PROBABILITY)
        .unwrap_or(others.enter);
    let leave = class.number("leave", limits::PROBABILITY);
    if let Some(leave) = leave.filter(|leave| *leave > enter) {
        let message = format!("is {leave}, needs a number not above `enter`, which is {enter}");
        class.fault("leave", message);
    }
    ClassRule {
        enter,
        leave: leave.unwrap_or(others.leave.min(enter)),
        frames_in_a_row: class
            .integer_u32("frames_in_a_row", limits::FRAMES_IN_A_ROW)
            .unwrap_or(others.frames_in_a_row),
        hold: class
            .integer("hold_ms", limits::HOLD_MS)
            .map_or(others.hold, Duration::from_millis),
    }
}
