"""What a client asks the hub about tasks, its own and others'.

* `queries`: the methods of `Client` and views: queues, results, records;
* `asking`: the same, page by page; `filters`: which records a query picks; `records`: a record as a dict;
* `result`: `AsyncHubResult`, the result of tasks by their names.

Who may use it: the client and views are built on `queries`. It submits nothing but what is asked for again.
"""
