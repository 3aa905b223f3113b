//! The guard: a limit on plans that change very much at once, as after a wrong directory, a lost mount or a glob that
//! fits nothing.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::change::{Action, Plan};
use crate::envoy::FileText;
use crate::envoy::artifact::Artifact;
use crate::settings_value::SettingValue;
use crate::words::plural;

/// A share of all published proxies, in whole percent, `0..=100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// A share of `percent`; `None` beyond 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    fn is_exceeded(self, part: usize, all: usize) -> bool {
        part.saturating_mul(100) > all.saturating_mul(usize::from(self.0))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').unwrap_or(text).trim_end().parse();
        let share = percent.ok().and_then(Self::new);
        share.ok_or_else(|| format!("`{text}` must be a whole percentage from 0 to 100, such as 10%"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl SettingValue for Share {
    fn name() -> Cow<'static, str> {
        "a whole percentage".into()
    }

    fn schema() -> Schema {
        json_schema!({"anyOf": [
            {"type": "string", "pattern": "^([0-9]|[1-9][0-9]|100) *%?$"},
            {"type": "integer", "minimum": 0, "maximum": 100},
        ]})
    }
}

setting_value!(Share);

/// The limit on what one plan may remove or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// The share of the published proxies that may be removed.
    #[schemars(example = &"25%")]
    pub max_removed: Share,
    /// The share of the published proxies that may change.
    #[schemars(example = &"50%")]
    pub max_changed: Share,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_removed: Share(10),
            max_changed: Share(100),
        }
    }
}

/// The reason why a plan waits for an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardViolation {
    /// The id of exactly this plan: its proxies, what happens to each, and the bytes that they get.
    pub id: String,
    /// The number of proxies that would be removed.
    pub removed: usize,
    /// The number of proxies that would change.
    pub changed: usize,
    /// The number of published proxies.
    pub published: usize,
    /// The limit that the plan exceeds, in words.
    why: String,
}

impl GuardViolation {
    /// Whether the id that somebody approved is the id of this plan.
    #[must_use]
    pub fn is_approved(&self, approved: Option<&str>) -> bool {
        approved == Some(&self.id)
    }
}

impl fmt::Display for GuardViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of, why, id) = (self.published, &self.why, &self.id);
        let what = match (self.removed, self.changed) {
            (removed, 0) => format!("remove {removed}"),
            (0, changed) => format!("change {changed}"),
            (removed, changed) => format!("remove {removed} and change {changed}"),
        };
        let proxies = plural(of, "published proxy");
        write!(
            f,
            "this would {what} of {proxies}, {why}; nothing was published. If it is meant, run `meshtraced approve {id}`"
        )
    }
}

/// Finds the limit that a plan exceeds, where `published` proxies are published.
///
/// The removal of all proxies exceeds every limit if there are two or more. A single proxy may always be removed or
/// changed.
#[must_use]
pub fn guard(plan: &Plan, published: usize, guard: &Guard) -> Option<GuardViolation> {
    let count = |action| plan.changes.iter().filter(|change| change.action == action).count();
    let (removed, changed) = (count(Action::Remove), count(Action::Change));
    let exceeds = |n: usize, most: Share| n > 1 && most.is_exceeded(n, published);
    let why = if removed > 1 && removed >= published {
        "all of them".to_owned()
    } else if exceeds(removed, guard.max_removed) {
        format!("and `guard.max_removed` is {}", guard.max_removed)
    } else if exceeds(changed, guard.max_changed) {
        format!("and `guard.max_changed` is {}", guard.max_changed)
    } else {
        return None;
    };
    Some(GuardViolation {
        id: id(plan),
        removed,
        changed,
        published,
        why,
    })
}

fn id(plan: &Plan) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &str| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    for change in &plan.changes {
        add(&change.proxy.mesh);
        add(&change.proxy.dataplane);
        add(match change.action {
            Action::Add => "add",
            Action::Change => "change",
            Action::Remove => "remove",
        });
        let changed: Vec<Artifact> = change.changed().collect();
        add(&changed.len().to_string());
        for artifact in changed {
            add(&artifact.path());
            let text = change.after.get(&artifact);
            add(if text.is_some() { "text" } else { "none" });
            add(&text.map(FileText::text).unwrap_or_default());
        }
    }
    hasher.finalize().to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::envoy::artifact::{Artifact, Files, Fragments, ProxyKey};
    use crate::plan::{Constraints, Desired, Observed, plan};

    /// Proxies with these numbers, each with a file that holds `text`.
    fn proxies(names: impl IntoIterator<Item = usize>, text: &str) -> Fragments {
        let files = || Files::from([(Artifact::Lds, text.into())]);
        names
            .into_iter()
            .map(|n| (ProxyKey::new("default", format!("web-{n}")), files()))
            .collect()
    }

    fn of(before: &Fragments, after: &Fragments) -> Plan {
        plan(
            &Observed::from(before.clone()),
            Desired::Files(after),
            &Constraints::default(),
        )
        .plan
    }

    fn limits(removed: u8, changed: u8) -> Guard {
        let share = |percent| Share::new(percent).expect("a percentage");
        Guard {
            max_removed: share(removed),
            max_changed: share(changed),
        }
    }

    #[track_caller]
    fn check(before: usize, kept: usize, text: &str, limits: Guard, expected: Option<&str>) {
        let plan = of(&proxies(0..before, "old"), &proxies(0..kept, text));
        let violation = guard(&plan, before, &limits);
        let said = violation.as_ref().map(ToString::to_string);
        match (expected, said) {
            (None, said) => assert_eq!(said, None),
            (Some(expected), said) => assert!(said.as_ref().is_some_and(|said| said.contains(expected)), "{said:?}"),
        }
    }

    #[test]
    fn more_than_the_share_waits() {
        let default = Guard::default();
        check(100, 90, "old", default, None);
        check(
            100,
            89,
            "old",
            default,
            Some("remove 11 of 100 published proxies, and `guard.max_removed` is 10%"),
        );
        check(100, 100, "new", default, None);
        check(100, 90, "new", limits(10, 50), Some("remove 10 and change 90 of 100"));
        // One may always go, even if it is all there is.
        check(3, 2, "old", default, None);
        check(1, 0, "old", limits(0, 0), None);
        check(1, 1, "new", limits(0, 0), None);
        // All never may.
        check(
            2,
            0,
            "old",
            limits(100, 100),
            Some("remove 2 of 2 published proxies, all of them"),
        );
        check(3, 1, "old", limits(100, 100), None);
        check(0, 0, "old", limits(0, 0), None);
    }

    #[test]
    fn it_says_what_to_type() {
        let plan = of(&proxies(0..4, "old"), &Fragments::new());
        let violation = guard(&plan, 4, &Guard::default()).expect("all of them go");
        let said = violation.to_string();
        assert!(
            said.ends_with(&format!("run `meshtraced approve {}`", violation.id)),
            "{said}"
        );
        assert!(violation.is_approved(Some(&violation.id)));
        assert!(!violation.is_approved(Some("")) && !violation.is_approved(None));
    }

    proptest! {
        #[test]
        fn it_counts_what_it_says(before in 0..30_usize, gone in any::<[bool; 30]>(), new in any::<[bool; 30]>(),
                                  removed in 0..=100_u8, changed in 0..=100_u8) {
            let applied = proxies(0..before, "old");
            let mut desired = proxies((0..before).filter(|n| !gone[*n]), "old");
            for (proxy, files) in proxies((0..before).filter(|n| !gone[*n] && new[*n]), "new") {
                desired.insert(proxy, files);
            }
            let goes = (0..before).filter(|n| gone[*n]).count();
            let changes = (0..before).filter(|n| !gone[*n] && new[*n]).count();
            let plan = of(&applied, &desired);
            let violation = guard(&plan, before, &limits(removed, changed));
            let too_many = |n: usize, percent: u8| n > 1 && n * 100 > before * usize::from(percent);
            let expected = too_many(goes, removed) || too_many(changes, changed) || (goes > 1 && goes == before);
            prop_assert_eq!(violation.is_some(), expected);
            if let Some(violation) = violation {
                prop_assert_eq!((violation.removed, violation.changed, violation.published), (goes, changes, before));
            }
        }

        #[test]
        fn an_approval_is_for_one_plan(one in 0..6_usize, other in 0..6_usize, text in "[ab]", other_text in "[ab]") {
            let before: BTreeMap<_, _> = proxies(0..6, "old");
            let plans = [(one, &text), (other, &other_text)].map(|(n, text)| of(&before, &proxies(0..n, text)));
            let ids: BTreeSet<String> = plans.iter().map(id).collect();
            prop_assert_eq!(ids.len() == 1, plans[0] == plans[1]);
        }
    }
}
