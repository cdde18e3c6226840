//! The last words of a child process: the end of what it wrote to its standard error, kept to explain why it ended.

use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;

#[derive(Clone, Debug, Default)]
pub struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    /// Listens in a task of its own until the process closes the stream; `bytes_max` are kept.
    pub fn of(stderr: ChildStderr, bytes_max: usize) -> Self {
        let words = Self::default();
        tokio::spawn(words.clone().listen(stderr, bytes_max));
        words
    }

    /// What was said so far, trimmed.
    pub fn text(&self) -> String {
        self.0.lock().map(|text| text.trim().to_owned()).unwrap_or_default()
    }

    /// `, saying: …`, or nothing.
    pub fn suffix(&self) -> String {
        let text = self.text();
        if text.is_empty() { text } else { format!(", saying: {text}") }
    }

    async fn listen(self, mut stderr: ChildStderr, bytes_max: usize) {
        let mut bytes = [0u8; 1024];
        while let Ok(count) = stderr.read(&mut bytes).await {
            if count == 0 {
                break;
            }
            let Ok(mut tail) = self.0.lock() else { break };
            tail.push_str(&String::from_utf8_lossy(&bytes[..count]));
            let excess = tail.len().saturating_sub(bytes_max);
            let cut = (excess..=tail.len()).find(|&at| tail.is_char_boundary(at)).unwrap_or(tail.len());
            tail.drain(..cut);
        }
    }
}
