//! The macro for scopes.

/// Has memory counted in a [`Scope`](crate::Scope): what the heap profile samples in it belongs to that key
/// and value, until it is freed.
///
/// ```
/// use strata_alloc::scope;
///
/// # async fn handle(request: &str) {}
/// # fn serve(tenant: u32, route: String) -> impl Future<Output = ()> {
/// // A block, which is run at once as a closure is.
/// let cache = scope!("tenant", tenant, { vec![0u8; 1000] });
/// // A guard: until it is dropped. Not to be held over an `await`.
/// let _entered = scope!("job", "import");
/// // A future.
/// scope!("route", route, async move {
///     handle("of this route").await;
///     drop(cache);
/// })
/// // And any other future: `scope!("route", route, handle(request))`.
/// # }
/// # drop(serve(42, "/".into()));
/// ```
///
/// The value is anything that can be displayed, and is not moved. It is looked up when the scope is
/// made; to make one and use it many times, see [`Scope::new`](crate::Scope::new).
#[macro_export]
macro_rules! scope {
    ($key:expr, $value:expr $(,)?) => {
        $crate::Scope::new($key, &$value).enter()
    };
    ($key:expr, $value:expr, async $($body:tt)+) => {
        $crate::Scope::new($key, &$value).wrap(async $($body)+)
    };
    ($key:expr, $value:expr, $body:block $(,)?) => {
        $crate::Scope::new($key, &$value).run(|| $body)
    };
    ($key:expr, $value:expr, $future:expr $(,)?) => {
        $crate::Scope::new($key, &$value).wrap($future)
    };
}
