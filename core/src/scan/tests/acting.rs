//! What acts when it is opened, under every name and type that opens it: parts without a name, pages and drawings that begin
//! as something else, documents that lead outside.

use super::active::seen;
use super::mail_with;

/// A tester's mail with a PDF of 3 MB took eight seconds: every string that does not end was read for 8 KiB.
#[test]
fn links_of_a_pdf_that_do_not_end_cost_little_and_hide_no_other() {
    for one in ["/URI(", "/URI(()", "/URI<"] {
        let mut pdf = b"%PDF-1.7\n".to_vec();
        pdf.extend(one.repeat(600_000).as_bytes());
        pdf.extend(b") > << /S /URI /URI (http://late.example/) >>");
        let begun = std::time::Instant::now();
        let seen = seen(&mail_with("a.pdf", &pdf));
        assert!(begun.elapsed().as_secs() < 20, "{one}: {:?}", begun.elapsed());
        let hosts = &seen.facts.url_hosts;
        assert!(one.contains("()") || hosts.iter().any(|host| &**host == "late.example"), "{one}");
    }
}
