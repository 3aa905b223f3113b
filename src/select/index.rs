//! The policies of a mesh by the tags that they need, so that a dataplane meets only policies that it may fit.
//!
//! An entry is filed under one of its tags, the one that the fewest entries need. Dataplanes that agree in the other
//! tags of the entries there share one list, so that a thousand policies for all dataplanes cost one list and not one
//! for each dataplane. The cost of a search follows the number of tags, that of an index the number of policies.

use foldhash::HashMap;

use crate::keep::Text;
use crate::resource::Located;
use crate::resource::value::tags::{Selector, Tags};

/// A tag or a label that an entry needs, with a value or with any. An empty value is that of an absent label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Need {
    /// The key of the tag.
    pub key: Text,
    /// The value; `None` for any.
    pub value: Option<Text>,
}

impl Need {
    fn fits(&self, tags: &Tags) -> bool {
        let found = tags.get(&self.key).map(Text::as_str);
        (self.value.as_ref()).map_or(found.is_some(), |wanted| *wanted == found.unwrap_or_default())
    }
}

/// The tags that a selector needs.
pub(super) fn needs(selector: &Selector) -> Vec<Need> {
    let need = |(key, wanted): (&Text, &Located<Text>)| Need {
        key: key.clone(),
        value: (wanted.value != "*").then(|| wanted.value.clone()),
    };
    selector.tags.iter().map(need).collect()
}

/// The number of a list of an index.
pub type ListId = u32;

/// Entries by the tags that they need.
#[derive(Debug)]
pub struct Index<T> {
    /// The shelves by the key of their tag.
    keys: HashMap<Text, Shelves>,
    shelves: Vec<Shelf<T>>,
    /// The shelf of the entries that need no tag.
    needless: Option<usize>,
    lists: Vec<Vec<T>>,
}

/// The shelves of one key.
#[derive(Debug, Default)]
struct Shelves {
    by_value: HashMap<Text, usize>,
    any_value: Option<usize>,
}

/// The entries that are filed under one tag.
#[derive(Debug)]
struct Shelf<T> {
    /// The entries with the tags that they need beside that of the shelf, as places in `others`.
    entries: Vec<(Vec<usize>, T)>,
    /// The other tags that entries need.
    others: Vec<Need>,
    /// The lists that were made, by the fit of each of the other tags.
    made: HashMap<Vec<bool>, ListId>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            others: Vec::new(),
            made: HashMap::default(),
        }
    }
}

impl<T: Clone> Index<T> {
    /// An index of entries, which keep their order in every list.
    #[must_use]
    pub fn new(entries: Vec<(Vec<Need>, T)>) -> Self {
        let mut counts: HashMap<Need, usize> = HashMap::default();
        for need in entries.iter().flat_map(|(needs, _)| needs) {
            *counts.entry(need.clone()).or_default() += 1;
        }
        let mut index = Self {
            keys: HashMap::default(),
            shelves: Vec::new(),
            needless: None,
            lists: Vec::new(),
        };
        let mut places: HashMap<(usize, Need), usize> = HashMap::default();
        for (needs, entry) in entries {
            let present = needs.iter().filter(|need| need.value != Some(Text::default()));
            let rarest = present.min_by_key(|need| counts[need]).cloned();
            let i = index.shelf(rarest.clone());
            let shelf = &mut index.shelves[i];
            let others = needs.into_iter().filter(|need| Some(need) != rarest.as_ref());
            let others = others.map(|need| {
                *places.entry((i, need.clone())).or_insert_with(|| {
                    shelf.others.push(need);
                    shelf.others.len() - 1
                })
            });
            let others = others.collect();
            shelf.entries.push((others, entry));
        }
        index
    }

    /// The shelf under a tag, made if there is none.
    fn shelf(&mut self, need: Option<Need>) -> usize {
        let place = match need {
            None => &mut self.needless,
            Some(Need { key, value: None }) => &mut self.keys.entry(key).or_default().any_value,
            Some(Need {
                key,
                value: Some(value),
            }) => {
                let next = self.shelves.len();
                let by_value = &mut self.keys.entry(key).or_default().by_value;
                let found = *by_value.entry(value).or_insert(next);
                if found == next {
                    self.shelves.push(Shelf::default());
                }
                return found;
            }
        };
        if place.is_none() {
            *place = Some(self.shelves.len());
            self.shelves.push(Shelf::default());
        }
        place.unwrap_or_default()
    }

    /// Adds the lists of the entries that fit the tags to `found`, without empty ones.
    /// A list that several searches add is there several times.
    pub fn find(&mut self, tags: &Tags, found: &mut Vec<ListId>) {
        let mut shelves: Vec<usize> = self.needless.into_iter().collect();
        for (key, value) in tags {
            if let Some(of_key) = self.keys.get(key.as_str()) {
                shelves.extend(of_key.any_value);
                shelves.extend(of_key.by_value.get(value.as_str()));
            }
        }
        for i in shelves {
            let shelf = &mut self.shelves[i];
            let fits: Vec<bool> = shelf.others.iter().map(|need| need.fits(tags)).collect();
            let id = match shelf.made.get(&fits) {
                Some(id) => *id,
                None => {
                    let fit = |(others, _): &&(Vec<usize>, T)| others.iter().all(|other| fits[*other]);
                    let list: Vec<T> = shelf
                        .entries
                        .iter()
                        .filter(fit)
                        .map(|(_, entry)| entry.clone())
                        .collect();
                    let id = ListId::try_from(self.lists.len()).unwrap_or(ListId::MAX);
                    self.lists.push(list);
                    shelf.made.insert(fits, id);
                    id
                }
            };
            if !self.lists[id as usize].is_empty() {
                found.push(id);
            }
        }
    }

    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.shelves.is_empty()
    }

    /// A list that was found.
    #[must_use]
    pub fn list(&self, id: ListId) -> &[T] {
        &self.lists[id as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Tags {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').expect("key=value");
            (Text::from(key), Text::from(value))
        };
        text.split_whitespace().map(pair).collect()
    }

    fn need(text: &str) -> Need {
        let (key, value) = text.split_once('=').expect("key=value");
        let value = (value != "*").then(|| value.into());
        Need { key: key.into(), value }
    }

    const ENTRIES: [&str; 8] = ["a=1", "a=*", "a=1 b=2", "a=* b=*", "b=2 c=3", "", "b=", "a=1 c="];

    fn index() -> Index<usize> {
        let needs = |text: &'static str| text.split_whitespace().map(need).collect();
        Index::new(ENTRIES.iter().enumerate().map(|(i, text)| (needs(text), i)).collect())
    }

    #[test]
    fn a_search_finds_what_a_scan_finds() {
        let mut index = index();
        for text in [
            "",
            "a=1",
            "a=2",
            "b=2",
            "a=1 b=2",
            "a=2 b=3",
            "a=1 b=2 c=3",
            "b=2 c=3 d=4",
        ] {
            let tags = tags(text);
            let mut ids = Vec::new();
            index.find(&tags, &mut ids);
            let mut found: Vec<usize> = ids.iter().flat_map(|id| index.list(*id).to_vec()).collect();
            found.sort_unstable();
            let fits = |entry: &str| entry.split_whitespace().all(|text| need(text).fits(&tags));
            let expected: Vec<usize> = (0..ENTRIES.len()).filter(|i| fits(ENTRIES[*i])).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    /// The number of entries in all lists that were made.
    fn listed(index: &Index<usize>) -> usize {
        index.lists.iter().map(Vec::len).sum()
    }

    #[test]
    fn the_work_is_no_product_of_entries_and_searches() {
        const MANY: usize = 1000;
        let texts: Vec<String> = (0..MANY).map(|i| format!("a=* b={i}")).collect();
        let tags: Vec<Tags> = (0..MANY).map(|i| tags(&format!("a={i} b={i}"))).collect();
        let for_all = (0..MANY).map(|i| (vec![need("a=*")], i));
        let for_one = texts.iter().enumerate();
        let for_one = for_one.map(|(i, text)| (text.split_whitespace().map(need).collect(), i));
        let mut index = Index::new(for_all.chain(for_one).collect());
        for tags in &tags {
            let mut ids = Vec::new();
            index.find(tags, &mut ids);
            let found: usize = ids.iter().map(|id| index.list(*id).len()).sum();
            assert_eq!((ids.len(), found), (2, MANY + 1));
        }
        assert_eq!(listed(&index), 2 * MANY);
    }

    #[test]
    fn dataplanes_that_agree_share_their_lists() {
        let mut index = index();
        let mut found = |text: &str| {
            let mut ids = Vec::new();
            index.find(&tags(text), &mut ids);
            ids
        };
        assert_eq!(found("a=1 b=2 d=4"), found("a=1 b=2 d=5"));
        let (one, other) = (found("a=1 b=2"), found("a=1 b=3"));
        assert!(one.iter().any(|id| other.contains(id)), "{one:?} {other:?}");
    }
}
