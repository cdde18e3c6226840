//! What a user says again on a connection that takes the place of one that has ended.

use crate::limits::RESENT_MESSAGES_MAX;

/// Messages with whether they are binary, in the order in which they were said last.
#[derive(Default)]
pub(super) struct Resent(Vec<(String, bool)>);

impl Resent {
    /// One that was said before takes its new place, and of more than are kept the oldest goes.
    pub(super) fn keep(&mut self, text: String, binary: bool) {
        let message = (text, binary);
        self.0.retain(|known| *known != message);
        if self.0.len() == RESENT_MESSAGES_MAX {
            self.0.remove(0);
        }
        self.0.push(message);
    }

    pub(super) fn messages(&self) -> Vec<(String, bool)> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_and_the_newest() {
        let mut resent = Resent::default();
        for text in ["a", "b", "a"] {
            resent.keep(text.into(), false);
        }
        resent.keep("a".into(), true);
        assert_eq!(resent.messages(), [("b".into(), false), ("a".into(), false), ("a".into(), true)]);
        (0..RESENT_MESSAGES_MAX).for_each(|number| resent.keep(number.to_string(), false));
        let kept = resent.messages();
        assert_eq!((kept.len(), kept[0].0.as_str()), (RESENT_MESSAGES_MAX, "0"));
    }
}
