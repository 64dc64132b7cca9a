//! An event of API Gateway: the request in it, and where it leads.
#![no_main]

use http::{Method, StatusCode};
use libfuzzer_sys::fuzz_target;
use shared::api::event::{self, Request};
use shared::api::route::{self, Route};

fuzz_target!(|event: &[u8]| {
    let Some(request) = serde_json::from_slice(event).ok().and_then(Request::read) else { return };
    let routes = [
        Route::new(Method::POST, "/botpress/{key}", ()),
        Route::new(Method::POST, "/botcopy", ()),
        Route::new(Method::POST, "/livechat", ()),
    ];
    let _ = route::find(&routes, &request.method, &request.path);
    let beside = request.beside("/botpress/", "/livechat");
    assert!(beside.starts_with("http") && beside.ends_with("/livechat"));
    let _ = event::answer(event::text(StatusCode::OK, &beside));
});
