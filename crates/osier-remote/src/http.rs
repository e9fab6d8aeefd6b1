//! One range of one version, by HTTP (RFC 9110, 14: Range Requests).

use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};

use crate::ranges::{Got, Problem, Ranges, Tag, WHOLE};

/// An address.
#[derive(Debug)]
pub(crate) struct Http {
    agent: Agent,
    url: String,
}

impl Http {
    pub(crate) fn new(url: &str, silence: Duration) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(silence))
            .timeout_send_request(Some(silence))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .user_agent(concat!("osier/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Self {
            agent,
            url: url.to_owned(),
        }
    }
}

impl Ranges for Http {
    fn shown(&self) -> String {
        osier_text::address(&self.url)
    }

    /// Without what is signed again each time.
    fn lasting(&self) -> String {
        self.shown()
    }

    fn get(&self, range: Range<u64>, tag: Option<&Tag>) -> Result<Got, Problem> {
        let last = range.end.saturating_sub(1);
        let mut request = self
            .agent
            .get(&self.url)
            .header("Range", format!("bytes={}-{last}", range.start));
        match tag {
            // A weak tag is no condition of a range; what comes is compared.
            Some(Tag::Entity(tag)) if !tag.starts_with("W/") => {
                request = request.header("If-Match", tag);
            }
            Some(Tag::Modified(time)) => request = request.header("If-Unmodified-Since", time),
            _ => {}
        }
        let answer = request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Problem::Lasting(io::ErrorKind::InvalidInput, error.to_string())
            }
            error => Problem::Passing(error.to_string()),
        })?;
        let status = answer.status();
        let headers = answer.headers();
        let told = header(headers, "content-range").and_then(content_range);
        let got_tag = header(headers, "etag")
            .map(|tag| Tag::Entity(tag.to_owned()))
            .or_else(|| Some(Tag::Modified(header(headers, "last-modified")?.to_owned())));
        match status {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE if range.start == 0 && tag.is_none() => {
                return Ok(Got {
                    bytes: Vec::new(),
                    total: 0,
                    tag: got_tag,
                });
            }
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Problem::Changed);
            }
            status => return Err(refused(status)),
        }
        let Some((from, to, total)) = told.filter(|(from, ..)| *from == range.start) else {
            let text = "the server answers with another range than it was asked for";
            return Err(Problem::Lasting(
                io::ErrorKind::InvalidData,
                text.to_owned(),
            ));
        };
        let wanted = range.end.min(total).saturating_sub(from);
        if to.saturating_add(1).saturating_sub(from) != wanted {
            return Err(Problem::Passing(
                "the server gives a part of the range".to_owned(),
            ));
        }
        let mut bytes = Vec::new();
        let body = answer.into_body().into_reader().take(wanted);
        let mut body = body;
        let read = body.read_to_end(&mut bytes);
        read.map_err(|error| Problem::Passing(error.to_string()))?;
        if bytes.len() as u64 != wanted {
            return Err(Problem::short(bytes.len(), wanted));
        }
        Ok(Got {
            bytes,
            total,
            tag: got_tag,
        })
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The first and last byte and the length of the whole, as in `bytes 0-4095/134217728`.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to, total) = (from.parse().ok()?, to.parse().ok()?, total.parse().ok()?);
    (from <= to && to < total).then_some((from, to, total))
}

fn refused(status: StatusCode) -> Problem {
    let kind = match status {
        StatusCode::OK => {
            return Problem::Lasting(io::ErrorKind::Unsupported, WHOLE.to_owned());
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => io::ErrorKind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => io::ErrorKind::PermissionDenied,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            return Problem::Passing(status.to_string());
        }
        status if status.is_server_error() => return Problem::Passing(status.to_string()),
        _ => io::ErrorKind::Other,
    };
    Problem::Lasting(kind, status.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_is_signed_is_neither_shown_nor_kept_by() {
        let http = |url| Http::new(url, Duration::from_secs(1));
        let signed = http("https://h/b/k.elf?versionId=7&X-Amz-Signature=abc&X-Amz-Date=2026");
        assert_eq!(signed.lasting(), "https://h/b/k.elf?versionId=7");
        assert_eq!(http("http://h/k").lasting(), "http://h/k");
        assert_eq!(http("http://me:pw@h/k").lasting(), "http://h/k");
    }

    #[test]
    fn a_content_range_is_three_numbers_that_agree() {
        assert_eq!(content_range("bytes 0-4095/9000"), Some((0, 4095, 9000)));
        for text in [
            "bytes */9000",
            "bytes 5-4/9",
            "bytes 0-9/9",
            "items 0-1/2",
            "",
        ] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
