//! Containers and documents: formats that a sender chooses, read in a worker.

use sekisho_core::{message, scan};

use super::seeds::{self, of_corpus, texts};
use super::{mended, mutate, office, smoke};

#[test]
fn an_archive_may_be_anything() {
    let mut all = seeds::zips();
    all.extend(of_corpus(&["archives", "eicar"], &[".zip"], 2_000));
    smoke("zip", &all, scan::fuzz_archive);
}

#[test]
fn a_protected_archive_may_be_anything() {
    let mut all = seeds::protected();
    all.extend(of_corpus(&["eicar"], &["pw-zipcrypto.zip", "pw-aes256.zip"], 2_000));
    smoke("protected", &all, scan::fuzz_protected);
}

#[test]
fn a_7z_may_be_anything() {
    mended("7z", &seeds::seven_zips(), Some(mutate::mend_seven_zip), scan::fuzz_archive);
}

#[test]
fn a_rar_may_be_anything() {
    smoke("rar", &seeds::rars(), scan::fuzz_archive);
}

#[test]
fn a_cabinet_may_be_anything() {
    mended("cab", &seeds::cabinets(), Some(mutate::mend_cabinet), scan::fuzz_archive);
}

#[test]
fn a_compressed_stream_may_be_anything() {
    mended("streams", &seeds::streams(), Some(mutate::mend_xz), scan::fuzz_archive);
}

#[test]
fn a_tar_may_be_anything() {
    mended("tar", &seeds::tars(), Some(mutate::mend_tar), scan::fuzz_archive);
}

#[test]
fn a_cpio_may_be_anything() {
    smoke("cpio", &seeds::cpios(), scan::fuzz_archive);
}

#[test]
fn a_disk_image_may_be_anything() {
    smoke("iso", &seeds::images(), scan::fuzz_archive);
}

#[test]
fn an_lzh_may_be_anything() {
    mended("lzh", &seeds::lzhs(), Some(mutate::mend_lzh), scan::fuzz_archive);
}

#[test]
fn an_arj_may_be_anything() {
    smoke("arj", &seeds::arjs(), scan::fuzz_archive);
}

#[test]
fn what_outlook_wraps_may_be_anything() {
    smoke("tnef", &seeds::tnefs(), scan::fuzz_archive);
}

#[test]
fn a_notebook_may_be_anything() {
    smoke("onenote", &seeds::notebooks(), scan::fuzz_archive);
}

#[test]
fn what_word_saves_beside_a_page_may_be_anything() {
    smoke("activemime", &office::active_mimes(), scan::fuzz_archive);
}

#[test]
fn a_document_in_xml_may_be_anything() {
    let mut all = seeds::documents();
    all.extend(of_corpus(&["docs"], &[".docx", ".xlsx", ".docm", ".xlsm", ".pptm", ".odt"], 8_000));
    smoke("documents", &all, scan::fuzz_archive);
}

#[test]
fn a_compound_file_may_be_anything() {
    let mut all = office::compounds();
    let endings = [".doc", ".xls", ".ppt", ".vsd", ".docx", ".xlsx", ".pptm", ".xlsb", ".bin"];
    let corpus = of_corpus(&["docs"], &endings, 12_000);
    all.extend(corpus.into_iter().filter(|octets| octets.starts_with(b"\xD0\xCF\x11\xE0")));
    smoke("ole", &all, scan::fuzz_ole);
}

#[test]
fn a_stream_of_a_compound_file_may_be_anything() {
    smoke("ole-streams", &office::ole_streams(), scan::fuzz_streams);
}

#[test]
fn a_message_of_outlook_may_be_anything() {
    let mut all = office::messages();
    all.extend(of_corpus(&["docs"], &[".msg"], 12_000));
    smoke("msg", &all, scan::fuzz_ole);
}

#[test]
fn rich_text_may_be_anything() {
    let all = texts(&[
        "{\\rtf1{\\object\\objemb\\objupdate{\\*\\objclass Package}{\\*\\objdata 0105000002000000\
         080000005061636b616765000000000000000000 10000000 0200612e657865 00 {\\*\\x 61}\\bin4 abcd}}}",
        "{\\rtf1{\\*\\template http://x.example/}{\\field{\\*\\fldinst DDEAUTO \\u99? \\'63 x}}{\\pict 00ff}}",
        "{\\rtf1{\\object\\objlink{\\*\\objclass Equation.3}{\\*\\objdata 0105000001000000090000004571756174696f6e2e3300}}}",
    ]);
    smoke("rtf", &all, scan::fuzz_rtf);
}

#[test]
fn what_acts_may_be_anything() {
    let mut all = texts(&[
        "<?xml version=\"1.0\"?><w:p><w:fldChar w:fldCharType='begin'/><w:instrText>DDE &#x41; \"x\"\
         </w:instrText><!-- x --><Relationship Type=\"a/attachedTemplate\" Target='http://x/' TargetMode=External>",
        "<definedName name='_xlnm.Auto_Open'>a!b</definedName><c><f>EXEC(\"x\")</f></c><oleLink progId='x'/>",
        "ID;P\nO;E\nNN;NAuto_open;ER1\nC;X1;EEXEC(\"x\")\na,=cmd|'/c x'!A0\n",
        "<html><script>eval(atob('x'));new Blob([1]);URL.createObjectURL(b)</script><svg onload=x>",
        "[InternetShortcut]\nURL=http://x.example/\n",
        "\u{68}\u{2}\u{10}\u{1}\0\u{3}\0\0\0c\0m\0d\0",
        "CreateObject(\"WScript.Shell\").Run \"powershell -enc x\"\r\nSub Workbook_Open()",
    ]);
    all.extend(of_corpus(&["docs"], &[".xml", ".csv", ".slk"], 4_000));
    smoke("active", &all, scan::fuzz_active);
}

#[test]
fn a_pdf_may_be_anything() {
    smoke("pdf", &seeds::pdfs(), scan::fuzz_archive);
}

#[test]
fn a_stream_of_a_pdf_may_be_anything() {
    smoke("pdf-filters", &seeds::filtered(), scan::fuzz_filters);
}

#[test]
fn a_program_may_be_anything() {
    let mut seed = vec![0_u8; 1024];
    for (at, octets) in [
        (0x00, b"MZ".as_slice()),
        (0x3c, b"\x40"),
        (0x40, b"PE\0\0\x4c\x01\x02\0"),
        (0x54, b"\xe0\0"),
        (0x58, b"\x0b\x01"),
        (0x69, b"\x10"),
        (0x7d, b"\x02"),
        (0xc1, b"\x20"),
        (0x138, b".text\0\0\0\0\x02\0\0\0\x10\0\0\0\x02\0\0\0\x02"),
        (0x160, b".data\0\0\0\0\x02\0\0\0\x20\0\0\0\x01\0\0\0\x03"),
        (0x300, b"\x40\x20\0\0\0\0\0\0\0\0\0\0\x60\x20\0\0\x40\x20"),
        (0x340, b"\x70\x20\0\0\x07\0\0\x80"),
        (0x360, b"A.DLL\0"),
        (0x370, b"\0\0F\0"),
    ] {
        seed[at..at + octets.len()].copy_from_slice(octets);
    }
    smoke("pe", &[seed], message::pe::fuzz_pe);
}
