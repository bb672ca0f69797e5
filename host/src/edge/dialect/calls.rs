//! The tool calls of a conversation while it is being parsed: a result names only its call.

use std::collections::HashMap;

/// The calls so far.
#[derive(Debug, Default)]
pub struct Calls {
    names_by_id: HashMap<String, String>,
    ids_by_name: HashMap<String, String>,
}

impl Calls {
    pub fn add(&mut self, id: &str, name: &str) {
        self.names_by_id.insert(id.to_owned(), name.to_owned());
        self.ids_by_name.insert(name.to_owned(), id.to_owned());
    }

    pub fn len(&self) -> usize {
        self.names_by_id.len()
    }

    /// The tool that a call is of.
    pub fn name_of(&self, id: &str) -> Option<&str> {
        self.names_by_id.get(id).map(String::as_str)
    }

    /// The last call of a tool.
    pub fn last_of(&self, name: &str) -> Option<&str> {
        self.ids_by_name.get(name).map(String::as_str)
    }
}
