//! What a catalog has of components that are named and not served: they are being compiled, or could not be.

use std::collections::BTreeMap;

use super::Catalog;

/// How a component stands that is named and neither served nor waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It is read and compiled, or its turn for that has not come.
    Compiling,
    /// It is not served, for this reason. The text quotes the component.
    Failed(String),
}

/// What is known of the components that a catalog is to have.
#[derive(Clone, Debug, Default)]
pub(super) struct Loading {
    /// Until this is false a tool that is not there may come yet.
    pub goes_on: bool,
    /// By the component's name.
    pub pending: BTreeMap<String, Pending>,
}

impl Catalog {
    /// This catalog, to which components are being added: a tool that it does not have may come yet.
    #[must_use]
    pub fn loading(&self) -> Self {
        let mut next = self.clone();
        next.loading.goes_on = true;
        next
    }

    /// This catalog, to which nothing is being added any more.
    #[must_use]
    pub fn loaded(&self) -> Self {
        let mut next = self.clone();
        next.loading.goes_on = false;
        next
    }

    /// This catalog and how a component stands that it does not serve; nothing changes for one that it has.
    #[must_use]
    pub fn with_pending(&self, name: &str, pending: Pending) -> Self {
        let mut next = self.clone();
        if !self.components.contains_key(name) && !self.unapproved.contains_key(name) {
            next.loading.pending.insert(name.to_owned(), pending);
        }
        next
    }

    /// Components that are named and neither served nor wait for approval. Sorted by name.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = (&str, &Pending)> {
        self.loading.pending.iter().map(|(name, pending)| (name.as_str(), pending))
    }

    /// Whether components are being added.
    pub fn is_loading(&self) -> bool {
        self.loading.goes_on
    }

    /// Whether a tool of this name is not there and may come yet.
    pub fn awaits(&self, tool: &str) -> bool {
        self.loading.goes_on && self.callable(tool).is_none() && self.unapproved_with(tool).is_none()
    }

    /// Whether all that can be called is the same in both.
    pub fn has_same_tools(&self, other: &Self) -> bool {
        self.tools.len() == other.tools.len()
            && self
                .tools
                .values()
                .zip(other.tools.values())
                .all(|(one, other)| std::sync::Arc::ptr_eq(one, other))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::component;
    use super::*;

    #[test]
    fn a_tool_is_awaited_until_it_is_there_or_nothing_comes_any_more() {
        let catalog = Catalog::default();
        assert!(!catalog.awaits("a"));
        let loading =
            catalog.loading().with_pending("x", Pending::Compiling).with_pending("y", Pending::Compiling);
        assert!(loading.awaits("a") && loading.awaits("other") && loading.is_loading());
        assert_eq!(loading.pending().count(), 2);
        let one = loading.with(component("x", &["a"])).expect("fits");
        assert!(!one.awaits("a") && one.awaits("other"));
        assert_eq!(one.pending().collect::<Vec<_>>(), [("y", &Pending::Compiling)]);
        // What is served does not go back.
        assert_eq!(one.with_pending("x", Pending::Compiling).pending().count(), 1);
        let failed = one.with_pending("y", Pending::Failed("odd".into())).loaded();
        assert!(!failed.awaits("other") && !failed.is_loading());
        assert_eq!(failed.pending().collect::<Vec<_>>(), [("y", &Pending::Failed("odd".into()))]);
        assert!(failed.has_same_tools(&one) && !failed.has_same_tools(&loading));
    }
}
