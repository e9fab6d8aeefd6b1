//! Snapshots behind addresses: a server with ranges in the test, and everything that can go wrong with one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]
#![cfg(feature = "remote")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How the server behaves, by the number of the request, from 0 on.
type Manner = Box<dyn Fn(u64) -> Answer + Send + Sync>;

type Faulty = fn(u64) -> Answer;

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Good,
    /// A status without a body.
    Status(&'static str),
    /// The head and half of the body.
    Truncated,
    /// The whole, as if there were no ranges.
    Whole,
    /// The connection is closed without a word.
    Closed,
    /// The object has another tag from now on, and other bytes.
    Changed,
    /// As good, without a tag.
    Untagged,
    /// As good, of what is longer than any memory.
    Huge,
}

struct Server {
    address: String,
    requests: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    /// The method and the headers of every request.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(bytes: Vec<u8>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Self {
            address,
            requests: Arc::default(),
            sent: Arc::default(),
            heads: Arc::default(),
        };
        let (requests, sent, heads) = (
            server.requests.clone(),
            server.sent.clone(),
            server.heads.clone(),
        );
        let (bytes, manner) = (Arc::new(bytes), Arc::new(manner));
        begin(move || {
            for stream in listener.incoming().flatten() {
                let all = (
                    bytes.clone(),
                    manner.clone(),
                    requests.clone(),
                    sent.clone(),
                    heads.clone(),
                );
                begin(move || {
                    let (bytes, manner, requests, sent, heads) = all;
                    serve(&stream, &bytes, &manner, (&requests, &sent, &heads));
                });
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("{}/dumps/mem.elf", self.address)
    }

    /// The same object by every way to it: its address, and its name in a store.
    fn names(&self) -> Vec<String> {
        let mut names = vec![self.url()];
        if cfg!(feature = "stores") {
            names.push("s3://dumps/mem.elf".to_owned());
        }
        names
    }

    fn asked(&self) -> (u64, u64) {
        let asked = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (asked(&self.requests), asked(&self.sent))
    }
}

/// A thread that lasts as long as the test.
fn begin(serve: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(serve).unwrap();
}

fn serve(
    mut stream: &TcpStream,
    bytes: &[u8],
    manner: &Manner,
    (requests, sent, heads): (&AtomicU64, &AtomicU64, &Mutex<Vec<String>>),
) {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let mut head = String::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.is_empty() => break,
                Some(Ok(line)) => head.push_str(&(line.to_ascii_lowercase() + "\n")),
                _ => return,
            }
        }
        heads.lock().unwrap().push(head.clone());
        let number = requests.fetch_add(1, Ordering::SeqCst);
        let answer = manner(number);
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let range = field("range: bytes=").unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let to = to.parse::<usize>().unwrap().min(bytes.len() - 1);
        let tag = if answer == Answer::Changed {
            "\"two\""
        } else {
            "\"one\""
        };
        let stale = field("if-match:").is_some_and(|wanted| wanted != tag);
        let mut send = |head: String, body: &[u8]| {
            sent.fetch_add(body.len() as u64, Ordering::SeqCst);
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body);
        };
        let body = &bytes[from..=to];
        let length = body.len();
        let total = if answer == Answer::Huge {
            1 << 62
        } else {
            bytes.len()
        };
        let partial = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{to}/{total}\r\nContent-Length: {length}\r\n",
        );
        match answer {
            Answer::Closed => return,
            Answer::Status(status) => send(
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"),
                &[],
            ),
            Answer::Whole => send(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()),
                bytes,
            ),
            Answer::Truncated => {
                send(format!("{partial}ETag: {tag}\r\n\r\n"), &body[..length / 2]);
                return;
            }
            _ if stale => send(
                "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n".to_owned(),
                &[],
            ),
            Answer::Untagged => send(format!("{partial}\r\n"), body),
            Answer::Good | Answer::Changed | Answer::Huge => {
                send(format!("{partial}ETag: {tag}\r\n\r\n"), body);
            }
        }
    }
}

struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("remote-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn osier(&self, args: &[&str]) -> Output {
        self.run("http://127.0.0.1:1", args)
    }

    /// With this server as the store.
    fn beside(&self, server: &Server, args: &[&str]) -> Output {
        self.run(&server.address, args)
    }

    fn run(&self, store: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_osier"))
            .args(args)
            .env("AWS_ENDPOINT_URL", store)
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "identity")
            .env("AWS_SECRET_ACCESS_KEY", "hush-hush-hush")
            .env("AWS_REGION", "us-east-1")
            .current_dir(&self.0)
            .env("XDG_CACHE_HOME", self.0.join("cache"))
            .env_remove("OSIER_PROFILES")
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap()
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../snapshots/{name}"))
}

fn rows(table: &str) -> Vec<u8> {
    fs::read(golden(&format!("deb12-6.1-amd64/{table}.jsonl"))).unwrap()
}

fn snapshot() -> Vec<u8> {
    fs::read(golden("deb12-6.1-amd64.elf")).unwrap()
}

fn good() -> Manner {
    Box::new(|_| Answer::Good)
}

#[track_caller]
fn has_rows(output: &Output, table: &str) {
    let said = output.stderr.escape_ascii();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(output.stdout == rows(table), "other rows: {said}");
}

#[test]
fn rows_are_those_of_the_file_and_the_next_answer_costs_little() {
    for (way, name) in ["address", "store"]
        .iter()
        .zip(Server::new(snapshot(), good()).names())
    {
        rows_of(way, &name);
    }
}

fn rows_of(way: &str, name: &str) {
    let home = Home::new(&format!("rows-{way}"));
    let server = Server::new(snapshot(), good());
    let url = if name.starts_with("http") {
        server.url()
    } else {
        name.to_owned()
    };
    let osier = |args: &[&str]| home.beside(&server, args);
    has_rows(&osier(&["ps", &url]), "ps");
    let first = server.asked();
    assert!(first.0 > 1, "{first:?}");
    // Blocks are kept: only the version is asked for.
    has_rows(&osier(&["ps", &url]), "ps");
    assert_eq!(server.asked().0, first.0 + 1);
    has_rows(&osier(&["ps", &url, "--no-cache"]), "ps");
    has_rows(&osier(&["maps", &url]), "maps");
    for head in server.heads.lock().unwrap().iter() {
        assert!(head.starts_with("get /dumps/mem.elf http/1.1\n"), "{head}");
    }
    // Other bytes on the disk than were kept are asked for again.
    let kept = fs::read_dir(home.0.join("cache/osier/remote")).unwrap();
    for path in kept.map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|ending| ending == "data") {
            let mut bytes = fs::read(&path).unwrap();
            bytes
                .iter_mut()
                .step_by(5000)
                .for_each(|byte| *byte ^= 0x55);
            fs::write(&path, bytes).unwrap();
        }
    }
    has_rows(&osier(&["ps", &url]), "ps");
}

#[test]
fn what_passes_is_tried_again() {
    let faults: [(&str, Faulty); 4] = [
        ("500", |n| {
            if n % 3 == 1 {
                Answer::Status("500 Oops")
            } else {
                Answer::Good
            }
        }),
        ("503", |n| {
            if n == 0 {
                Answer::Status("503 Busy")
            } else {
                Answer::Good
            }
        }),
        ("truncated", |n| {
            if n % 4 == 2 {
                Answer::Truncated
            } else {
                Answer::Good
            }
        }),
        ("closed", |n| {
            if n % 5 == 3 {
                Answer::Closed
            } else {
                Answer::Good
            }
        }),
    ];
    for (name, manner) in faults {
        for number in 0..Server::new(snapshot(), good()).names().len() {
            let home = Home::new(&format!("{name}-{number}"));
            let server = Server::new(snapshot(), Box::new(manner));
            has_rows(
                &home.beside(&server, &["ps", &server.names()[number]]),
                "ps",
            );
        }
    }
    // Without a tag nothing is kept, for nobody could tell what it is of.
    let home = Home::new("untagged");
    let server = Server::new(snapshot(), Box::new(|_| Answer::Untagged));
    has_rows(&home.osier(&["ps", &server.url()]), "ps");
    assert!(!home.0.join("cache/osier/remote").exists());
}

#[test]
fn what_does_not_pass_is_an_error_that_names_the_address() {
    let faults: [(&str, Faulty, &str); 8] = [
        ("gone", |_| Answer::Status("404 Not Found"), "404"),
        ("secret", |_| Answer::Status("403 Forbidden"), "403"),
        ("whole", |_| Answer::Whole, "no ranges"),
        ("huge", |_| Answer::Huge, "more than any machine has memory"),
        (
            "forgets",
            |n| {
                if n < 2 {
                    Answer::Good
                } else {
                    Answer::Untagged
                }
            },
            "it was changed while it was read",
        ),
        ("down", |_| Answer::Status("500 Oops"), "in 5 tries: 500"),
        (
            "changed",
            |n| if n < 2 { Answer::Good } else { Answer::Changed },
            "it was changed while it was read",
        ),
        (
            "dies",
            |n| if n < 2 { Answer::Good } else { Answer::Closed },
            "in 5 tries",
        ),
    ];
    let ways = Server::new(snapshot(), good()).names().len();
    for ((name, manner, why), way) in faults
        .into_iter()
        .flat_map(|fault| (0..ways).map(move |way| (fault, way)))
    {
        let home = Home::new(&format!("{name}-{way}"));
        let server = Server::new(snapshot(), Box::new(manner));
        let mut url = server.names()[way].clone();
        if let Some(rest) = url.strip_prefix("http://") {
            url = format!("http://me:word@{rest}?X-Amz-Signature=signed");
        }
        let output = home.beside(&server, &["ps", &url, "--no-cache"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(
            said.contains(why) && said.contains("dumps/mem.elf"),
            "{name}: {said}"
        );
        // Each line names it once, and tells nobody's secrets.
        let once = |line: &str| line.matches("/dumps/mem.elf").count() <= 1;
        assert!(said.lines().all(once), "{name}: {said}");
        for secret in ["word", "signed", "hush", "identity"] {
            assert!(!said.contains(secret), "{name}: {said}");
        }
    }
}

#[cfg(not(feature = "stores"))]
#[test]
fn without_stores_an_error_says_what_to_do() {
    let home = Home::new("store");
    let output = home.osier(&["ps", "s3://bucket/mem.elf"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && said.contains("aws s3 presign"),
        "{said}"
    );
    assert!(said.contains("feature `stores`"), "{said}");
}

#[cfg(feature = "stores")]
#[test]
fn a_store_that_is_not_known_is_an_error_that_says_so() {
    let home = Home::new("store");
    let said = |name: &str| {
        let output = home.osier(&["ps", name]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("az://dumps/mem.elf").contains("AZURE_STORAGE_ACCOUNT_NAME"));
    assert!(said("s3://dumps/folder/").contains("names no object"));
    assert!(said("s3://dumps/a//b").contains("an empty part"));
    let credentials = said("s3://me:hush@dumps/mem.elf");
    assert!(
        credentials.contains("from the environment"),
        "{credentials}"
    );
    assert!(!credentials.contains("hush"), "{credentials}");
}

#[test]
fn a_search_of_everything_waits_until_it_is_asked_for() {
    // Memory without a kernel and without registers: nothing but a search can tell.
    let mut bytes = vec![0; 160 << 20];
    for (at, byte) in bytes.iter_mut().enumerate().step_by(4096) {
        *byte = (at >> 12) as u8 | 1;
    }
    let home = Home::new("search");
    let server = Server::new(bytes, good());
    let output = home.osier(&["ps", &server.url(), "--no-cache"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("of its 160 MiB") && said.contains("--search"),
        "{said}"
    );
    assert!(server.asked().1 <= 129 << 20);
    let output = home.osier(&["ps", &server.url(), "--no-cache", "--search"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && !said.contains("--search"),
        "{said}"
    );
    assert!(server.asked().1 > 129 << 20);
}

#[test]
fn a_run_and_a_distillation_take_addresses() {
    let home = Home::new("run");
    let server = Server::new(snapshot(), good());
    let dies = Server::new(
        snapshot(),
        Box::new(|n| {
            if n < 2 {
                Answer::Good
            } else {
                Answer::Status("403 Forbidden")
            }
        }),
    );
    let (url, other) = (server.url(), dies.url());
    let local = golden("deb12-6.1-amd64.elf");
    let local = local.to_str().unwrap();
    let output = home.osier(&["run", local, &url, &other, "--tables", "ps", "-o", "out"]);
    let said = output.stderr.escape_ascii().to_string();
    assert_eq!(output.status.code(), Some(3), "{said}");
    let manifest = fs::read_to_string(home.0.join("out/manifest.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = manifest
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[1]["status"], "complete", "{manifest}");
    assert_eq!(lines[0]["rows"], lines[1]["rows"]);
    assert_ne!(lines[2]["status"], "complete");
    let output = home.osier(&["distill", &url, "--ask", "ps", "-o", "small.elf"]);
    let said = output.stderr.escape_ascii();
    assert_eq!(output.status.code(), Some(0), "{said}");
    has_rows(&home.osier(&["ps", "small.elf"]), "ps");
}

#[test]
fn nothing_is_asked_of_a_network_without_an_address() {
    let home = Home::new("file");
    fs::copy(golden("deb12-6.1-amd64.elf"), home.0.join("mem.elf")).unwrap();
    let output = home.osier(&["ps", "mem.elf", "-v"]);
    assert!(
        !output
            .stderr
            .escape_ascii()
            .to_string()
            .contains("of addresses")
    );
    let address = home.osier(&["ps", &Server::new(snapshot(), good()).url(), "-v"]);
    assert!(
        address
            .stderr
            .escape_ascii()
            .to_string()
            .contains("of addresses")
    );
    has_rows(&home.osier(&["ps", "mem.elf"]), "ps");
}
