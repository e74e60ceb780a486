mod faults;
mod format;
mod proof;
mod real;
mod recovery;
mod store;

pub(crate) use real::on_glommio;
