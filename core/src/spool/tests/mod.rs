mod faults;
mod format;
mod proof;
mod real;
mod recovery;
mod store;
