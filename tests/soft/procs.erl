%% Many processes: messages, a ring, shared tables, big numbers, binaries.
-module(procs).
-export([main/0]).

main() ->
    Self = self(),
    Ps = [spawn(fun() -> receive {From, X} -> From ! {self(), X * X} end end) || _ <- lists:seq(1, 20000)],
    lists:foldl(fun(P, I) -> P ! {Self, I}, I + 1 end, 1, Ps),
    io:format("squares ~p~n", [lists:foldl(fun(P, A) -> receive {P, V} -> A + V end end, 0, Ps)]),
    First = lists:foldl(fun(_, Next) -> spawn(fun() -> ring(Next) end) end, Self, lists:seq(1, 1000)),
    io:format("ring ~p~n", [turns(First, 100)]),
    Tab = ets:new(tab, [public, {write_concurrency, true}]),
    Count = fun() -> [ets:update_counter(Tab, X rem 100, 1, {X rem 100, 0}) || X <- lists:seq(1, 20000)] end,
    Ws = [spawn_monitor(Count) || _ <- lists:seq(1, 8)],
    [receive {'DOWN', R, process, _, normal} -> ok end || {_, R} <- Ws],
    io:format("table ~p~n", [lists:sum([V || {_, V} <- ets:tab2list(Tab)])]),
    io:format("big ~p~n", [lists:foldl(fun(I, A) -> A * I end, 1, lists:seq(1, 2000)) rem 1000000007]),
    io:format("crc ~p~n", [erlang:crc32(<< <<(X rem 256)>> || X <- lists:seq(1, 100000) >>)]),
    halt(0).

ring(Next) -> receive stop -> Next ! stop; M -> Next ! M, ring(Next) end.

turns(First, 0) -> First ! stop, receive stop -> done end;
turns(First, N) -> First ! N, receive N -> turns(First, N - 1) end.
