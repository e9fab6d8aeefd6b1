//! `osier profile fetch`, from a symbol server on the loopback interface to a profile in the cache.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the server of a test answers while the test asks"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::file(XP_KERNEL) => a_fetched_pdb_becomes_a_profile;
}

const XP_KERNEL: &str =
    "windows/pdb/winxp-sp3-x86pae-ntkrnlpa-30B5FB31AE7E4ACAABA750AA241FF331-1.pdb.zst";
const KEY: &str = "30B5FB31AE7E4ACAABA750AA241FF3311";

fn osier(args: &[&str], cache: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    command.args(args).env("XDG_CACHE_HOME", cache);
    for proxy in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    command.output().unwrap()
}

/// Answers every request with `body`.
fn serve(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).find(String::is_empty);
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
            write!(stream, "{head} {length}\r\n\r\n").unwrap();
            let _ = stream.write_all(&body);
        }
    });
    format!("http://{address}/symbols")
}

fn a_fetched_pdb_becomes_a_profile(real: &Real) {
    let server = serve(real.unpacked());
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fetch-cache");
    let _ = fs::remove_dir_all(&cache);
    let fetch = ["profile", "fetch", "ntkrnlpa.pdb", KEY, "--server", &server];
    let output = osier(&fetch, &cache);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let kept = cache.join("osier/30b5fb31ae7e4acaaba750aa241ff33100000001.osp");
    assert!(kept.is_file(), "{errors}");
    let folder = cache.join("osier/symbols/ntkrnlpa.pdb").join(KEY);
    assert!(folder.join("ntkrnlpa.pdb").is_file(), "{errors}");

    let other = "30B5FB31AE7E4ACAABA750AA241FF3317";
    let output = osier(
        &[
            "profile",
            "fetch",
            "ntkrnlpa.pdb",
            other,
            "--server",
            &server,
        ],
        &cache,
    );
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains(&format!("another build, {KEY}")),
        "{errors}"
    );
}
