//! `[decide]` of a board file: thresholds and smoothing; and of single classes, by name: thresholds of their own, classes that are
//! ignored, classes that are merged. Which class a name means is known with the model, see [`super::Classes`].

use crate::limits;
use crate::model::labels::composed;
use crate::toml_file::Table;
use std::time::Duration;

/// `[decide]`
#[derive(Debug, Clone, PartialEq)]
pub struct DecideConfig {
    /// Weight of the newest frame in the moving average of probabilities, 0 < x <= 1; 1 is no smoothing.
    pub ema_weight: f32,
    /// A class is decided when its smoothed probability is at least this.
    pub enter: f32,
    /// A decided class is kept while its smoothed probability is at least this (<= `enter`).
    pub leave: f32,
    /// A class must be the best one in this many frames in a row before it is decided.
    pub frames_in_a_row: u32,
    /// A decided class stays at least this long.
    pub hold: Duration,
    /// The word that is shown when no class is decided.
    pub unknown_label: String,
    /// What is said of single classes.
    pub classes: ClassRules,
}

impl Default for DecideConfig {
    /// What holds where `[decide]` does not say otherwise.
    fn default() -> Self {
        Self {
            ema_weight: 0.4,
            enter: 0.5,
            leave: 0.35,
            frames_in_a_row: 3,
            hold: Duration::from_millis(500),
            unknown_label: "unknown".to_owned(),
            classes: ClassRules::default(),
        }
    }
}

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
    /// Reads `[decide]`.
    pub fn read(top: &mut Table<'_, '_>) -> Self {
        let default = Self::default();
        let Some(mut table) = top.table("decide") else {
            return default;
        };
        let ema_weight = table.number("ema_weight", limits::EMA_WEIGHT);
        let ClassRule {
            enter,
            leave,
            frames_in_a_row,
            hold,
        } = rule(&mut table, default.rule());
        let mut config = Self {
            ema_weight: ema_weight.unwrap_or(default.ema_weight),
            enter,
            leave,
            frames_in_a_row,
            hold,
            unknown_label: table
                .text("unknown_label")
                .map_or(default.unknown_label, |label| composed(&label)),
            classes: ClassRules::default(),
        };
        config.classes = class_rules(&mut table, config.rule());
        config
    }

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
fn class_rules(decide: &mut Table<'_, '_>, others: ClassRule) -> ClassRules {
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
fn rule(class: &mut Table<'_, '_>, others: ClassRule) -> ClassRule {
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
            .millis("hold_ms", limits::HOLD_MS)
            .unwrap_or(others.hold),
    }
}
