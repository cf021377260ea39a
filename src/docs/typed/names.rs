//! Names that no two things of a document share.

use std::collections::HashSet;

/// The names that are taken, as generators compare them: what they make of a name keeps neither its capitals nor its signs.
#[derive(Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// Takes names that are there already.
    pub fn of<'a>(taken: impl IntoIterator<Item = &'a str>) -> Self {
        Self(taken.into_iter().map(folded).collect())
    }

    /// Takes the first of these names that is free, or else the last with the first number that makes it so.
    pub fn take<const N: usize>(&mut self, wanted: [String; N]) -> String {
        let last = wanted.last().cloned().unwrap_or_default();
        let numbered = (2_u32..).map(|number| format!("{last}{number}"));
        let mut names = wanted.into_iter().chain(numbered);
        let free = names.find(|name| self.0.insert(folded(name)));
        free.unwrap_or(last)
    }
}

fn folded(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|character| character.to_ascii_lowercase())
        .collect()
}

/// What a developer called something, as a part of a type's name.
pub(super) fn capitalised(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric());
    let capital = |word: &str| {
        let mut characters = word.chars();
        let first = characters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(characters).collect::<String>()
    };
    words.map(capital).collect()
}

/// A type's name as a part of an operation's: `OrderItem` is `order_item`; what is made of it reads as the type does.
pub(super) fn separated(type_name: &str) -> String {
    let mut name = String::new();
    for character in type_name.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let mut names = Names::of(["list_keys", "Page_User"]);
        let take = |names: &mut Names, name: &str| names.take([name.to_owned()]);
        assert_eq!(take(&mut names, "OrderItem"), "OrderItem");
        assert_eq!(take(&mut names, "Order_item"), "Order_item2");
        assert_eq!(take(&mut names, "PageUser"), "PageUser2");
        let wanted = || ["list_keys".to_owned(), "list_keys_records".to_owned()];
        assert_eq!(names.take(wanted()), "list_keys_records");
        assert_eq!(names.take(wanted()), "list_keys_records2");
    }

    #[test]
    fn names_become_parts_of_names() {
        assert_eq!(capitalised("postal address/~1"), "PostalAddress1");
        assert_eq!(capitalised("主"), "");
        assert_eq!(separated("OrderItem2B"), "order_item2_b");
    }
}
