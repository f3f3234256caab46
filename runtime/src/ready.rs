//! Telling the host that this process is ready, by the pipe it has inherited.
//!
//! Called once by each process the host starts, an engine program included. Without a host there is
//! no pipe, and telling nobody is no error.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;

use crate::host::READY_FD_ENV;

/// Tells the host that this process is ready; `detail` is the hub's address, or nothing.
pub fn tell(detail: &str) -> io::Result<()> {
    let Some(number) = std::env::var_os(READY_FD_ENV) else { return Ok(()) };
    let number: u32 = number
        .to_str()
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{READY_FD_ENV} is not a number")))?;
    let path = format!("/proc/self/fd/{number}");
    // The variable may have come to a grandchild, for which the number means something else.
    if !std::fs::metadata(&path)?.file_type().is_fifo() {
        return Err(io::Error::other(format!("{READY_FD_ENV}={number} is not a pipe")));
    }
    // Opened by its name: the inherited number itself stays with whoever inherited it.
    let mut pipe = OpenOptions::new().write(true).open(path)?;
    pipe.write_all(format!("ready {detail}\n").as_bytes())
}
