/** Files that are embedded in the compiled executable; in development the import gives their path in the tree. */
declare module "*/fathom_sys.so" {
  const path: string;
  export default path;
}
declare module "*/fathom-init" {
  const path: string;
  export default path;
}
declare module "*/fathom-forward" {
  const path: string;
  export default path;
}
declare module "*/fathom-hello" {
  const path: string;
  export default path;
}
