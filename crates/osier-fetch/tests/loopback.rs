//! Downloads from a server on the loopback interface.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the server of a test answers while the test asks"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use osier_fetch::{FetchError, Wish, fetch};

const KEY: &str = "5278AFF86C341677D7D7835C85B7B8441";

/// Serves what `answer` gives for a path, whole answers with their headers, until the test ends.
/// Gives the address.
fn serve(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else {
                continue;
            };
            for line in lines.by_ref() {
                if line.unwrap().is_empty() {
                    break;
                }
            }
            let path = first.split(' ').nth(1).unwrap();
            let gone = || {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
            };
            let _ = stream.write_all(&answer(path).unwrap_or_else(gone));
        }
    });
    format!("http://{address}")
}

fn whole(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn pdb() -> Vec<u8> {
    let mut pdb = b"Microsoft C/C++ MSF 7.00 and so on".to_vec();
    pdb.resize(300_000, 7);
    pdb
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("fetch-loopback")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// Everything in a folder, however deep.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn wish(server: &str) -> Wish<'_> {
    Wish {
        server,
        name: "ntkrnlmp.pdb",
        key: KEY,
        accepts: |head| head.starts_with(b"Microsoft") || head.starts_with(b"MSCF"),
    }
}

#[test]
fn a_file_arrives_whole_and_under_its_name() {
    let asked = format!("/symbols/ntkrnlmp.pdb/{KEY}/ntkrnlmp.pdb");
    let server = serve(move |path| {
        match path {
        "/elsewhere" => Some(whole(&pdb())),
        path if path == asked => Some(
            b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        _ => None,
    }
    });
    let folder = folder("redirected");
    let path = fetch(&wish(&format!("{server}/symbols/")), &folder).unwrap();
    assert_eq!(
        path,
        folder.join("ntkrnlmp.pdb").join(KEY).join("ntkrnlmp.pdb")
    );
    assert!(fs::read(&path).unwrap() == pdb(), "other bytes arrived");
    assert_eq!(files(&folder), [path]);
}

#[test]
fn a_compressed_file_is_asked_for_next() {
    let server = serve(|path| path.ends_with("/ntkrnlmp.pd_").then(|| whole(b"MSCF...")));
    let folder = folder("compressed");
    let path = fetch(&wish(&server), &folder).unwrap();
    assert!(path.ends_with("ntkrnlmp.pd_"));
    assert_eq!(fs::read(&path).unwrap(), b"MSCF...");
}

#[test]
fn a_pointer_is_followed_last() {
    let target = serve(|path| (path == "/there").then(|| whole(&pdb())));
    let pointer = format!("PATH:{target}/there");
    let server = serve(move |path| {
        path.ends_with("/file.ptr")
            .then(|| whole(pointer.as_bytes()))
    });
    let path = fetch(&wish(&server), &folder("pointed")).unwrap();
    assert!(path.ends_with("ntkrnlmp.pdb"));

    let server = serve(|path| {
        path.ends_with("/file.ptr")
            .then(|| whole(b"PATH:\\\\host\\share"))
    });
    let error = fetch(&wish(&server), &folder("unc"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("leads to no address: PATH:"), "{error}");
}

#[test]
fn what_the_server_lacks_is_listed() {
    let server = serve(|_| None);
    let folder = folder("lacking");
    let Err(FetchError::NotThere { tried }) = fetch(&wish(&server), &folder) else {
        panic!("something was there");
    };
    let ends = [
        "/ntkrnlmp.pdb: 404 Not Found",
        "/ntkrnlmp.pd_: 404 Not Found",
        "/file.ptr: 404 Not Found",
    ];
    assert_eq!(tried.len(), ends.len());
    assert!(
        tried
            .iter()
            .zip(ends)
            .all(|(tried, end)| tried.ends_with(end)),
        "{tried:?}"
    );
    assert!(files(&folder).is_empty());
}

#[test]
fn half_a_file_or_another_one_is_an_error_and_leaves_nothing() {
    let answers: [(&str, Vec<u8>); 4] = [
        ("cut", whole(&pdb())[..200_000].to_vec()),
        ("page", whole(b"<html>Sign in first</html>")),
        ("empty", whole(b"")),
        (
            "busy",
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec(),
        ),
    ];
    for (name, answer) in answers {
        let server = serve(move |_| Some(answer.clone()));
        let folder = folder(name);
        let error = fetch(&wish(&server), &folder).unwrap_err();
        assert!(
            matches!(error, FetchError::Failed { .. }),
            "{name}: {error}"
        );
        assert!(files(&folder).is_empty(), "{name}");
    }
    let nobody = fetch(&wish("http://127.0.0.1:1"), &folder("nobody")).unwrap_err();
    assert!(
        nobody.to_string().starts_with("http://127.0.0.1:1/"),
        "{nobody}"
    );
}

#[test]
fn a_name_leads_nowhere_else() {
    for (name, key) in [
        ("../x", KEY),
        ("x.pdb", ".."),
        ("", KEY),
        ("a\\b", KEY),
        ("x y", KEY),
    ] {
        let wish = Wish {
            name,
            key,
            ..wish("http://127.0.0.1:1")
        };
        let error = fetch(&wish, &folder("bad")).unwrap_err();
        assert!(matches!(error, FetchError::BadName(_)), "{error}");
    }
}
