//! Addresses, and the HTTP client: built once for an endpoint.

use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder, Url, redirect};

use super::endpoint::cause;
use super::{EndpointConfig, EndpointError};

/// The base address as it was configured.
pub(super) fn address(base_url: &str) -> Result<Url, EndpointError> {
    let problem = |url: &str, problem: &str| EndpointError::Address { url: url.into(), problem: problem.into() };
    let url = Url::parse(base_url.trim()).map_err(|error| {
        // What can't be parsed can't be cleared of a password either.
        let shown = if base_url.contains('@') { "…" } else { base_url };
        problem(shown, &format!("{error}; write it like http://127.0.0.1:8000/v1"))
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(problem(url.host_str().unwrap_or("…"), "no password may stand in an address; use api_key_env"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(problem(base_url, "it must begin with http:// or https://"));
    }
    Ok(url)
}

/// The HTTP client that reaches `url`, with `headers` on each request.
pub(super) fn client(config: &EndpointConfig, url: &Url, headers: HeaderMap) -> Result<Client, EndpointError> {
    let builder = client_builder(url).connect_timeout(config.connect_timeout).timeout(config.timeout);
    let builder = builder.default_headers(headers);
    builder.build().map_err(|error| EndpointError::Client(cause(&error)))
}

/// What every HTTP client is built from that reaches `url` and what is below it.
pub fn client_builder(url: &Url) -> ClientBuilder {
    // Building a client panics without a provider. That another one was installed before is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        // A redirect would turn a POST into a GET, or carry a key elsewhere.
        .redirect(redirect::Policy::none())
        // Whoever asks again counts it.
        .retry(reqwest::retry::never());
    if url.scheme() == "http" {
        // Reading the system's certificates takes longer than everything else at the start.
        builder = builder.tls_certs_only([]);
    }
    if url.host_str().is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    builder
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_used_is_refused_with_advice() {
        for (base, advice) in [
            ("127.0.0.1:8000", "write it like"),
            ("ftp://example.org", "http://"),
            ("", "write it like"),
            ("http://me:hunter2@example.org/v1", "api_key_env"),
            ("http://me:hunter2@exa mple.org:x/v1", "write it like"),
        ] {
            let error = address(base).unwrap_err().to_string();
            assert!(error.contains(advice) && !error.contains("hunter2"), "{error}");
        }
    }
}
