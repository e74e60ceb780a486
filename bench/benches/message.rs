//! What a view costs: a 2 KiB text mail (aim below 60 us) and a 20 KiB HTML mail (aim below 400 us)
//! with the texts that rules ask for.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sekisho_core::message::{View, ViewLimits};

const HEADER: &str = "Received: from a.example (a.example [192.0.2.1]) by b.example with ESMTP id 1;\r\n\
    \tMon, 1 Jan 2024 00:00:00 +0900\r\nFrom: =?utf-8?B?5pel5pys?= <a@a.example>\r\n\
    To: b@b.example\r\nSubject: =?utf-8?B?44GU5rOo5paH44Gu56K66KqN?=\r\nMessage-ID: <1@a.example>\r\n\
    Date: Mon, 1 Jan 2024 00:00:00 +0900\r\nMIME-Version: 1.0\r\n";

fn text_mail() -> String {
    let line = "Hello, this is a line of plain text with a link: http://www.example.com/x\r\n";
    format!("{HEADER}Content-Type: text/plain; charset=utf-8\r\n\r\n{}", line.repeat(22))
}

fn html_mail() -> String {
    let row = "<tr><td style=\"color:#333;font-size:12px\"><a href=\"https://www.example.com/a?b=1&amp;c=2\">\
               お知らせ news</a> of the day &nbsp; and more</td></tr>\r\n";
    format!(
        "{HEADER}Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><table>{}</table></body></html>",
        row.repeat(130)
    )
}

fn texts(raw: &[u8]) -> usize {
    let view = View::build(raw, &ViewLimits::shard());
    view.body().text.len()
        + view.rawbody().octets.len()
        + view.normalised().text.len()
        + view.uris().len()
}

fn views(criterion: &mut Criterion) {
    for (name, mail) in [("text_2k", text_mail()), ("html_20k", html_mail())] {
        criterion.bench_function(&format!("view/{name}/structure"), |bench| {
            bench
                .iter(|| View::build(black_box(mail.as_bytes()), &ViewLimits::shard()).parts.len());
        });
        criterion.bench_function(&format!("view/{name}/all_texts"), |bench| {
            bench.iter(|| texts(black_box(mail.as_bytes())));
        });
    }
}

criterion_group!(benches, views);
criterion_main!(benches);
