//! What sends the requests of `object_store`: ureq, as it asks for addresses.
//!
//! Every answer is read whole, up to a bound, before it is handed on. Whoever waits for one waits here, in the thread that
//! asked. No redirection is followed: a request is signed for the server that it names.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use ureq::Agent;
use ureq::http::{Request, StatusCode, header};

use crate::ranges::WHOLE;

/// The most bytes of an answer: a range has 4 MiB at most, a page of a list a thousand names.
const MOST: u64 = 16 << 20;
/// Where machines of a cloud ask for the credentials that they have.
const ON_MACHINES: [&str; 4] = [
    "169.254.169.254",
    "169.254.170.2",
    "metadata",
    "metadata.google.internal",
];

/// Why there is no answer that a store's client should look at. It has no part of a request in it but the server's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Asking again may help.
    Passing(String),
    /// Asking again does not.
    Lasting(String),
    /// The range begins behind the last byte.
    PastTheEnd,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(why) | Self::Lasting(why) => f.write_str(why),
            Self::PastTheEnd => f.write_str("the range begins behind the last byte"),
        }
    }
}

impl std::error::Error for Said {}

/// Makes clients that wait so long for a silent server.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) silence: Duration,
}

#[derive(Debug)]
struct Service {
    agent: Agent,
    allow_http: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let told = |key| options.get_config_value(&key);
        // Whoever asks the machine itself for credentials waits shortly.
        let connect = told(ClientConfigKey::ConnectTimeout)
            .and_then(|text| text.strip_suffix('s')?.parse().ok())
            .map_or(self.silence, |seconds| {
                Duration::from_secs(seconds).min(self.silence)
            });
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(connect))
            .timeout_send_request(Some(self.silence))
            .timeout_recv_response(Some(self.silence))
            .timeout_per_read(Some(self.silence))
            .user_agent(concat!("osier/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(HttpClient::new(Service {
            agent,
            allow_http: told(ClientConfigKey::AllowHttp).as_deref() == Some("true"),
        }))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.send(request)
            .map_err(|said| HttpError::new(HttpErrorKind::Unknown, said))
    }
}

impl Service {
    fn send(&self, request: HttpRequest) -> Result<HttpResponse, Said> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        if !self.allow_http && request.uri().scheme_str() == Some("http") {
            let text = format!(
                "{host} would be asked without encryption, which the environment must allow (AWS_ALLOW_HTTP, AZURE_ALLOW_HTTP or GOOGLE_ALLOW_HTTP is `true`)"
            );
            return Err(Said::Lasting(text));
        }
        let on_machine = ON_MACHINES.contains(&&*host);
        let of_range = request.headers().contains_key(header::RANGE);
        let (parts, body) = request.into_parts();
        let body = body.as_bytes().cloned().unwrap_or_default();
        let unknown = |why: &str| {
            Said::Lasting(format!(
                "there are no credentials in the environment, and this machine has none of its own ({host}: {why}); what anybody may read is read with AWS_SKIP_SIGNATURE, AZURE_SKIP_SIGNATURE or GOOGLE_SKIP_SIGNATURE set to `true`"
            ))
        };
        let called = if body.is_empty() {
            self.agent.run(Request::from_parts(parts, ()))
        } else {
            self.agent.run(Request::from_parts(parts, &body[..]))
        };
        let answer = called.map_err(|error| match error {
            error if on_machine => unknown(&error.to_string()),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Said::Lasting(format!("{host} cannot be asked"))
            }
            error => Said::Passing(format!("{host}: {error}")),
        })?;
        if on_machine && !answer.status().is_success() {
            return Err(unknown(&answer.status().to_string()));
        }
        if of_range && answer.status() == StatusCode::OK {
            return Err(Said::Lasting(WHOLE.to_owned()));
        }
        if let Some(said) = refused(answer.status(), answer.headers()) {
            return Err(said);
        }
        let (parts, body) = answer.into_parts();
        let mut bytes = Vec::new();
        let read = body
            .into_reader()
            .take(MOST.saturating_add(1))
            .read_to_end(&mut bytes);
        read.map_err(|error| Said::Passing(format!("{host}: {error}")))?;
        let no = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
        ];
        // Of an object, the store's client tells these apart.
        if !of_range && no.contains(&parts.status) {
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            let code = code(text).map(|code| format!(" ({code})"));
            let code = code.unwrap_or_default();
            return Err(Said::Lasting(format!("{}{code}", parts.status)));
        }
        if bytes.len() as u64 > MOST {
            let text = format!("{host} answers with more than {MOST} bytes");
            return Err(Said::Lasting(text));
        }
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }
}

/// What a status says that the store's client need not look at.
fn refused(status: StatusCode, headers: &header::HeaderMap) -> Option<Said> {
    match status {
        StatusCode::RANGE_NOT_SATISFIABLE => Some(Said::PastTheEnd),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Some(Said::Passing(status.to_string()))
        }
        status if status.is_server_error() => Some(Said::Passing(status.to_string())),
        StatusCode::NOT_MODIFIED => None,
        status if status.is_redirection() => {
            let region = headers.get("x-amz-bucket-region");
            let region = region.and_then(|region| region.to_str().ok());
            let region = region.unwrap_or("another region");
            Some(Said::Lasting(format!(
                "{status}: the bucket is in {region}; AWS_REGION must say so"
            )))
        }
        _ => None,
    }
}

/// The word by which a store says in its answer what was wrong, as `NoSuchKey`.
pub(super) fn code(answer: &str) -> Option<&str> {
    let (code, _) = answer.split_once("<Code>")?.1.split_once("</Code>")?;
    let plain = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_an_answer_is_a_word() {
        assert_eq!(code("x <Error><Code>NoSuchKey</Code> y"), Some("NoSuchKey"));
        assert_eq!(code("<Code>a b</Code>"), None);
        assert_eq!(code("<Code>open"), None);
    }
}
