#![doc = include_str!("../README.md")]
//!
//! A symbol server keeps a file at `NAME/KEY/NAME`, or compressed at `NAME/KEY/NAM_`, or says in
//! `NAME/KEY/file.ptr` where it is. Source: Microsoft's `SymSrv`, "Symbol Store Folder Tree" and
//! "HTTP-based symbol stores".

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use osier_file::Output;
use ureq::Agent;
use ureq::http::StatusCode;

/// Microsoft's public symbol server.
pub const MICROSOFT: &str = "https://msdl.microsoft.com/download/symbols";

/// The largest file that is downloaded; a kernel's PDB has some 12 MiB.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Bytes of a `file.ptr` that are read: a path.
const MAX_POINTER_BYTES: u64 = 4096;
/// Bytes of a file's beginning by which it is known.
const HEAD_BYTES: usize = 64;
/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to download.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'w> {
    /// The symbol server's address, such as [`MICROSOFT`].
    pub server: &'w str,
    /// The file's name, such as `ntkrnlmp.pdb`.
    pub name: &'w str,
    /// GUID and age, as symbol servers write them: `5278AFF86C341677D7D7835C85B7B8441`.
    pub key: &'w str,
    /// Whether a file that begins so is what is meant: a server may answer with a page for people.
    pub accepts: fn(&[u8]) -> bool,
}

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The name or the key would be another place on this machine or the server.
    #[error("`{0}` names no file of a symbol server; write NAME and GUIDAGE as the error did")]
    BadName(String),
    /// The server does not have the file.
    #[error("the server has none of:\n  {}", tried.join("\n  "))]
    NotThere {
        /// Each address that was tried, and what came of it.
        tried: Vec<String>,
    },
    /// The server could not be asked, or did not give what it promised.
    #[error("{url}: {problem}")]
    Failed {
        /// The address.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// The file could not be written.
    #[error("{file}: {source}", file = osier_text::path(file))]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Downloads the file into `folder`, laid out as a symbol server: `NAME/KEY/NAME`, or `NAM_` when
/// the server has it compressed. It has its name only once it is whole. Gives its path.
///
/// # Errors
///
/// [`FetchError`] names the address or the file.
pub fn fetch(wish: &Wish<'_>, folder: &Path) -> Result<PathBuf, FetchError> {
    for part in [wish.name, wish.key] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
        let sound = part.bytes().all(plain) && part.starts_with(|c: char| c.is_alphanumeric());
        if !sound {
            return Err(FetchError::BadName(part.to_owned()));
        }
    }
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .user_agent(concat!("osier/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let base = format!(
        "{}/{}/{}",
        wish.server.trim_end_matches('/'),
        wish.name,
        wish.key
    );
    let folder = folder.join(wish.name).join(wish.key);
    let packed = format!(
        "{}_",
        wish.name
            .get(..wish.name.len().saturating_sub(1))
            .unwrap_or("")
    );
    let mut tried = Vec::new();
    for name in [wish.name, &packed] {
        let url = format!("{base}/{name}");
        if let Some(path) = download(&agent, &url, wish, &folder.join(name), &mut tried)? {
            return Ok(path);
        }
    }
    let url = format!("{base}/file.ptr");
    if let Some(body) = get(&agent, &url, &mut tried)? {
        let mut text = String::new();
        let read = body.take(MAX_POINTER_BYTES).read_to_string(&mut text);
        read.map_err(|error| failed(&url, &error))?;
        let target = text.trim().strip_prefix("PATH:").unwrap_or_default();
        if !target.starts_with("http://") && !target.starts_with("https://") {
            let problem = format!("it leads to no address: {}", text.trim().escape_debug());
            return Err(failed(&url, &problem));
        }
        if let Some(path) = download(&agent, target, wish, &folder.join(wish.name), &mut tried)? {
            return Ok(path);
        }
    }
    Err(FetchError::NotThere { tried })
}

/// The body of an answer; `None`, and a word in `tried`, when the server has no such file.
fn get(
    agent: &Agent,
    url: &str,
    tried: &mut Vec<String>,
) -> Result<Option<impl Read + use<>>, FetchError> {
    let answer = agent.get(url).call().map_err(|error| failed(url, &error))?;
    let status = answer.status();
    if status == StatusCode::NOT_FOUND || status == StatusCode::GONE {
        tried.push(format!("{url}: {status}"));
        return Ok(None);
    }
    if status != StatusCode::OK {
        return Err(failed(url, &status));
    }
    Ok(Some(answer.into_body().into_reader()))
}

fn download(
    agent: &Agent,
    url: &str,
    wish: &Wish<'_>,
    to: &Path,
    tried: &mut Vec<String>,
) -> Result<Option<PathBuf>, FetchError> {
    let Some(body) = get(agent, url, tried)? else {
        return Ok(None);
    };
    let mut body = body.take(MAX_FILE_BYTES.saturating_add(1));
    let mut head = Vec::new();
    let read = body.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head);
    read.map_err(|error| failed(url, &error))?;
    if !(wish.accepts)(&head) {
        let head = head.escape_ascii();
        let problem = format!("the answer is no PDB; it begins {head}");
        return Err(failed(url, &problem));
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| in_file(folder, source))?;
    save(url, &head, body, to)?;
    Ok(Some(to.to_owned()))
}

/// Writes the beginning and the rest of an answer to a file.
fn save(url: &str, head: &[u8], mut body: impl Read, to: &Path) -> Result<(), FetchError> {
    let io = |source| in_file(to, source);
    let mut output = Output::create(to).map_err(io)?;
    output.file().write_all(head).map_err(io)?;
    let mut total = head.len() as u64;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = body
            .read(&mut buffer)
            .map_err(|error| failed(url, &error))?;
        let Some(part @ [_, ..]) = buffer.get(..count) else {
            return output.finish().map(drop).map_err(io);
        };
        total = total.saturating_add(count as u64);
        if total > MAX_FILE_BYTES {
            return Err(failed(url, &"more than 1 GiB"));
        }
        output.file().write_all(part).map_err(io)?;
    }
}

fn failed(url: &str, problem: &dyn fmt::Display) -> FetchError {
    FetchError::Failed {
        url: url.to_owned(),
        problem: problem.to_string(),
    }
}

fn in_file(file: &Path, source: io::Error) -> FetchError {
    FetchError::Io {
        file: file.to_owned(),
        source,
    }
}
