-- ops_radar: ops_demand_radar under the name that the predecessor's code uses. It is writable.
--
-- Rights   security_invoker: the caller's rights and row-level policies.
-- Used by  people and old clients.
CREATE OR REPLACE VIEW public.ops_radar WITH (security_invoker = true) AS
SELECT r.id, r.title, r.description, r.stage, r.notes, r.created_at, r.updated_at
FROM public.ops_demand_radar AS r;
ALTER VIEW public.ops_radar OWNER TO opsledger_tables;
