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
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

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

#[test]
fn a_fetched_pdb_becomes_a_profile() {
    let name = "winxp-sp3-x86pae-ntkrnlpa-30B5FB31AE7E4ACAABA750AA241FF331-1.pdb.zst";
    let path = osier_testkit::data::packed().join("windows/pdb").join(name);
    let Ok(mut packed) = fs::File::open(&path) else {
        osier_testkit::skip!("there is no {} (set OSIER_DATA)", path.display());
    };
    let mut pdb = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(&mut packed)
        .unwrap()
        .read_to_end(&mut pdb)
        .unwrap();
    let server = serve(pdb);
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

#[test]
fn what_names_no_pdb_is_wrong_usage() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fetch-usage");
    for (name, key) in [("ntkrnlpa.pdb", "12"), ("a b", KEY), ("x.pdb", "zz")] {
        let output = osier(&["profile", "fetch", name, key], &cache);
        assert_eq!(output.status.code(), Some(2), "{name} {key}");
    }
}
