//! Models of the classifier: published without anything else, and kept by everything else.

use super::super::*;
use super::*;
use crate::classify::{FitOptions, Sample, fit};

fn model(features: &[u32]) -> Vec<u8> {
    fit(&[Sample { spam: true, author: 0, features }], FitOptions::default())
}

#[test]
fn a_training_shares_all_other_tables_keeps_single_changes_and_survives_build_and_merge() {
    let at = Appliance::new();
    let publisher = at.publisher();
    let first = at.build(vec![]);
    assert!(first.model("").is_none());
    let change = Change::RecipientAdd { address: "new@example.com".into() };
    publisher.add_delta(std::slice::from_ref(&change)).unwrap();
    let models = vec![("example.com".to_owned(), model(&[4])), (String::new(), model(&[4, 8]))];
    assert_eq!(publisher.teach(models).unwrap(), 2);
    let taught = Generation::adopt(&at.dir(2), &at.path("engine"), Some(&first)).unwrap();
    assert_eq!(taught.model("").map(|model| (model.spam, model.ham)), Some((1, 0)));
    assert!(taught.model("example.com").is_some() && taught.model("example.net").is_none());
    let inode = |number: u64| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(at.dir(number).join("recipients.table")).unwrap().ino()
    };
    assert_eq!(inode(1), inode(2), "the same file, not a copy");
    let current = Current::new(Arc::clone(&first));
    current.swap(taught, &at.dir(2)).unwrap();
    assert_eq!(resolved(&current.load(), "new@example.com"), "new@example.com listed");
    // A merge and a build come after it.
    assert_eq!(publisher.merge(&mut |_| ()).unwrap(), Some(3));
    assert!(at.adopt(3).unwrap().model("example.com").is_some());
    let (number, _) = publisher.build(&at.sources(vec![]), &mut |_| ()).unwrap();
    let built = at.adopt(number).unwrap();
    assert!(built.model("example.com").is_some());
    assert_eq!(built.sizes().get("tokens").map(|(models, _)| *models), Some(2));
    // Taken back altogether.
    let last = publisher.teach(Vec::new()).unwrap();
    assert!(at.adopt(last).unwrap().model("").is_none());
}
