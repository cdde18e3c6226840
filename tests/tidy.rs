//! Style that is not enforced is a wish: what ARCHITECTURE.md and the house rules promise about this tree, checked on the tree itself.
//! Every rule is a function from files to findings, so each test first shows the rule a file that breaks it, then the real ones.

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/readme.rs"]
mod readme;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/tree.rs"]
mod tree;
