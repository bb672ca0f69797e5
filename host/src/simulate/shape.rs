//! Finds members of a JSON value that a wire format does not know.
//!
//! Owns: the walk, and the path to what is unknown. Not here: which members there are (each provider's tables) and what it says about an
//! unknown one. Wrong types are left to the provider's own checks: a `List` or an `Object` that is something else is passed over, which
//! is how `string or list` is written.

use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Anything: a scalar, or free-form JSON.
    Any,
    Object(&'static [Member]),
    List(&'static Shape),
    /// The same as another one: how a shape contains itself.
    At(&'static Shape),
    /// An object whose member names are the user's.
    Map(&'static Shape),
    /// An object whose members depend on the value of one of them. A value that is not listed is passed over.
    Tagged(&'static str, &'static [(&'static str, &'static [Member])]),
}

pub(super) type Member = (&'static str, Shape);

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Member(String),
    Item(usize),
}

/// Where the first unknown member is, its own name last.
pub(super) fn unknown(shape: Shape, value: &Value) -> Option<Vec<Step>> {
    let mut path = Vec::new();
    find(shape, value, &mut path).then_some(path)
}

fn find(shape: Shape, value: &Value, path: &mut Vec<Step>) -> bool {
    match (shape, value) {
        (Shape::Object(members), Value::Object(object)) => find_in_object(members, object, path),
        (Shape::At(shape), value) => find(*shape, value, path),
        (Shape::List(of), Value::Array(items)) => items.iter().enumerate().any(|(index, item)| descend(Step::Item(index), *of, item, path)),
        (Shape::Map(of), Value::Object(object)) => object.iter().any(|(name, item)| descend(Step::Member(name.clone()), *of, item, path)),
        (Shape::Tagged(tag, cases), Value::Object(object)) => {
            let chosen = object.get(tag).and_then(Value::as_str).and_then(|value| cases.iter().find(|(case, _)| *case == value));
            chosen.is_some_and(|(_, members)| find_in_object(members, object, path))
        }
        _ => false,
    }
}

fn find_in_object(members: &'static [Member], object: &Map<String, Value>, path: &mut Vec<Step>) -> bool {
    object.iter().any(|(name, value)| match members.iter().find(|(known, _)| known == name) {
        Some((_, shape)) => descend(Step::Member(name.clone()), *shape, value, path),
        None => {
            path.push(Step::Member(name.clone()));
            true
        }
    })
}

fn descend(step: Step, shape: Shape, value: &Value, path: &mut Vec<Step>) -> bool {
    path.push(step);
    if find(shape, value, path) {
        return true;
    }
    path.pop();
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHAPE: Shape = Shape::Object(&[
        ("a", Shape::Any),
        ("list", Shape::List(&Shape::Tagged("role", &[("user", &[("role", Shape::Any), ("text", Shape::Any)])]))),
        ("map", Shape::Map(&Shape::Object(&[("x", Shape::Any)]))),
    ]);

    #[test]
    fn the_first_unknown_member_is_named_with_its_path() {
        for (value, expected) in [
            (json!({"a":{"anything":1},"list":"text"}), None),
            (json!({"list":[{"role":"user"},{"role":"other","z":1}]}), None),
            (json!({"b":1}), Some("b")),
            (json!({"list":[{"role":"user"},{"role":"user","name":"n"}]}), Some("list.1.name")),
            (json!({"map":{"free":{"x":1},"other":{"y":1}}}), Some("map.other.y")),
        ] {
            let path = unknown(SHAPE, &value).map(|path| {
                let steps = path.iter().map(|step| match step {
                    Step::Member(name) => name.clone(),
                    Step::Item(index) => index.to_string(),
                });
                steps.collect::<Vec<_>>().join(".")
            });
            assert_eq!(path.as_deref(), expected, "{value}");
        }
    }
}
