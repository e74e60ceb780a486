use super::read;
use super::store::{Added, Batch, SAMPLES_MAX, Store};
use crate::place::Place;
use sekisho_core::classify::{Features, Model};

fn mail(number: usize) -> Features {
    let text = format!(
        "From: a@b.example\nSubject: mail {}\n\nwords {}\n",
        "x".repeat(number + 1),
        "y".repeat(number + 1)
    );
    read::one(text.as_bytes()).unwrap()
}

fn batch(scope: &str, label: &str) -> Batch {
    Batch {
        batch: 0,
        undoes: None,
        scope: scope.to_owned(),
        label: label.to_owned(),
        time: 1,
        by: "uid 1".to_owned(),
        how: "train".to_owned(),
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Place::new(dir.path(), None)).unwrap();
    (dir, store)
}

#[test]
fn taking_back_leaves_nothing_behind() {
    let (_dir, store) = store();
    store.add(batch("", "spam"), (0..5).map(mail).collect()).unwrap();
    let before = store.model("").unwrap().unwrap();
    // New mails, one that is known, and one that moves.
    let (number, became) = store.add(batch("", "ham"), vec![mail(3), mail(9), mail(9)]).unwrap();
    assert_eq!(became, [Added::Moved, Added::New, Added::Known]);
    let changed = store.model("").unwrap().unwrap();
    assert_ne!(before, changed);
    assert_eq!(Model::open(&changed).map(|model| (model.spam, model.ham)), Some((4, 2)));
    assert_eq!(store.undo(number, 2, String::new()), Ok(String::new()));
    assert_eq!(store.model("").unwrap().unwrap(), before);
    assert!(store.undo(number, 3, String::new()).unwrap_err().contains("before"));
    assert!(store.undo(99, 3, String::new()).unwrap_err().contains("no batch"));
}

#[test]
fn the_same_mail_with_the_same_label_is_trained_once() {
    let (_dir, store) = store();
    let (first, _) = store.add(batch("", "spam"), vec![mail(1)]).unwrap();
    let model = store.model("").unwrap();
    let (_, became) = store.add(batch("", "spam"), vec![mail(1)]).unwrap();
    assert_eq!(became, [Added::Known]);
    assert_eq!(store.model("").unwrap(), model);
    assert_eq!(store.journal().unwrap().len(), 1, "a batch that changes nothing is none");
    store.undo(first, 2, String::new()).unwrap();
    assert_eq!(store.model("").unwrap(), None);
}

#[test]
fn the_training_of_one_domain_changes_no_other() {
    let (_dir, store) = store();
    store.add(batch("a.example", "spam"), vec![mail(1), mail(2)]).unwrap();
    let before = store.model("a.example").unwrap();
    store.add(batch("b.example", "ham"), vec![mail(1), mail(2), mail(3)]).unwrap();
    store.add(batch("", "ham"), vec![mail(1)]).unwrap();
    assert_eq!(store.model("a.example").unwrap(), before);
    assert_eq!(store.scopes().unwrap(), ["", "a.example", "b.example"]);
}

#[test]
fn the_oldest_samples_go_and_a_torn_line_is_passed_over() {
    let (dir, store) = store();
    store.add(batch("", "spam"), vec![mail(1)]).unwrap();
    let path = dir.path().join("training/gateway.samples");
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"batch\":2,\"id\":\"torn");
    std::fs::write(&path, &text).unwrap();
    store.add(batch("", "ham"), vec![mail(2)]).unwrap();
    let samples = store.samples("").unwrap();
    assert_eq!(samples.len(), 2);
    // A file as a year of reports makes it.
    let line = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let line = line.lines().next().unwrap().to_owned();
    let id = line.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let many: String =
        (0..SAMPLES_MAX + 10).map(|at| line.replace(&id, &format!("{at:032x}")) + "\n").collect();
    std::fs::write(&path, many).unwrap();
    let samples = store.samples("").unwrap();
    assert_eq!(samples.len(), SAMPLES_MAX);
    assert!(
        !samples.contains_key(&format!("{:032x}", 9))
            && samples.contains_key(&format!("{:032x}", 10))
    );
}

#[test]
fn sm_30_files_of_other_kinds_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, said) in [
        ("a.txt", "Subject: x\n\ny\n", "neither"),
        ("a.msg", "x", "Outlook"),
        ("a.eml", "no header here", "no mail"),
        ("a.mbox", "", "no mail"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let why = read::mails(&path).unwrap_err();
        assert!(why.contains(said), "{name}: {why}");
    }
    let path = dir.path().join("b.EML");
    std::fs::write(&path, "Subject: x\n\ny\n").unwrap();
    assert_eq!(read::mails(&path).unwrap().len(), 1);
    let path = dir.path().join("b.mbox");
    std::fs::write(&path, "From a Mon\nSubject: x\n\ny\n\nFrom b Tue\nSubject: z\n\ny\n").unwrap();
    assert_eq!(read::mails(&path).unwrap().len(), 2);
}
