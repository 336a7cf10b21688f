//! A fake of any provider's HTTP interface: answers from a script, keeps what it was asked, and refuses a request that
//! the provider's documentation rules out. Binds to loopback only.
#![allow(dead_code, reason = "tests and the example each use a part of the fakes")]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a request must be: an error is what the provider would say.
pub type Contract = fn(&Asked) -> Result<(), String>;

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Asked {
    /// A header's value, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A response of the script.
#[derive(Debug, Clone)]
pub enum Said {
    /// A status, headers, and a body.
    Whole(u16, Vec<(&'static str, &'static str)>, String),
    /// The first half of a body under the length of the whole, with status 200; then the connection breaks.
    Cut(String),
    /// A body of this type with status 200, some bytes at a time, and how it ends.
    Stream(&'static str, String, End),
}

/// How a streamed body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    /// The connection breaks.
    Break,
    /// Nothing comes any more.
    Stall,
}

/// Bytes of a streamed body that are sent at a time: no event comes whole.
const PIECE: usize = 41;

/// A body with status 200.
pub fn ok(body: Value) -> Said {
    Said::Whole(200, Vec::new(), body.to_string())
}

/// A failure.
pub fn failed(status: u16, body: Value) -> Said {
    Said::Whole(status, Vec::new(), body.to_string())
}

/// A running fake; it stops when this is dropped. The last response of its script is given again and again.
pub struct Dialect {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    contract: Contract,
    script: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Asked>>,
}

impl Dialect {
    pub async fn start(contract: Contract, script: Vec<Said>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { contract, script: Mutex::new(script.into()), asked: Mutex::default() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Self { address, shared, task }
    }

    /// Its address with `path` after it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Dialect {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let asked = Asked { path: uri.to_string(), headers, body: serde_json::from_slice(&body).unwrap_or_default() };
    let kept = (shared.contract)(&asked);
    shared.asked.lock().unwrap().push(asked);
    if let Err(broken) = kept {
        let error = json!({"error": {"type": "contract", "message": format!("the contract is broken: {broken}")}});
        return (StatusCode::IM_A_TEAPOT, error.to_string()).into_response();
    }
    let said = {
        let mut script = shared.script.lock().unwrap();
        if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
    };
    give(said.unwrap_or_else(|| failed(500, json!({"error": {"message": "the script is over"}}))))
}

fn give(said: Said) -> Response {
    match said {
        Said::Whole(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Said::Cut(body) => {
            let half = stream::iter([Ok(Bytes::from(body.as_bytes()[..body.len() / 2].to_vec()))]);
            // The pause lets the half be sent before the error closes the connection.
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            ([("content-length", body.len().to_string())], Body::from_stream(half.chain(end))).into_response()
        }
        Said::Stream(content_type, body, end) => {
            let pieces: Vec<_> = body.as_bytes().chunks(PIECE).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let last = stream::once(async move {
                tokio::task::yield_now().await;
                match end {
                    End::Whole => None,
                    End::Break => Some(Err(std::io::Error::other("cut"))),
                    End::Stall => std::future::pending().await,
                }
            });
            let body = Body::from_stream(stream::iter(pieces).chain(last.filter_map(std::future::ready)));
            ([("content-type", content_type)], body).into_response()
        }
    }
}
